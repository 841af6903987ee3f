// Bilinear interpolation as in grid_sample(align_corners=False, padding_mode='zeros').
#pragma once

#include <cmath>
#include <cstdint>

namespace unimask {

// The four pixels around a point of a (height, width) map: row-major indices in the order
// top-left, top-right, bottom-left, bottom-right; -1 for a pixel outside of the map.
struct Corners {
  int32_t index[4];
  float fx, fy;  // distance from the left and from the top pixel, in [0, 1)
};

// (u, v) are in units of the map's width and height. Any value is safe: points that touch no pixel,
// infinities and NaN get four absent corners. Free of branches, so that loops of it vectorise.
inline __attribute__((always_inline)) Corners locate(
    float u, float v, float width, float height, int32_t row_length, int32_t start) {
  const float x = u * width - 0.5f, y = v * height - 0.5f;
  const bool inside = (x > -1.0f) & (x < width) & (y > -1.0f) & (y < height);
  const float safe_x = inside ? x : 0.0f, safe_y = inside ? y : 0.0f;
  const float left = std::floor(safe_x), top = std::floor(safe_y);
  const bool has_left = inside & (left >= 0.0f), has_right = inside & (left + 1.0f < width);
  const bool has_top = top >= 0.0f, has_bottom = top + 1.0f < height;
  const int32_t first = start + static_cast<int32_t>(top) * row_length + static_cast<int32_t>(left);
  Corners c;
  c.index[0] = has_left & has_top ? first : -1;
  c.index[1] = has_right & has_top ? first + 1 : -1;
  c.index[2] = has_left & has_bottom ? first + row_length : -1;
  c.index[3] = has_right & has_bottom ? first + row_length + 1 : -1;
  c.fx = safe_x - left;
  c.fy = safe_y - top;
  return c;
}

inline __attribute__((always_inline)) float corner_weight(int corner, float fx, float fy) {
  return (corner & 1 ? fx : 1.0f - fx) * (corner & 2 ? fy : 1.0f - fy);
}

}  // namespace unimask
