// Bilinear interpolation as in grid_sample(align_corners=False, padding_mode='zeros').
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "simd.h"

namespace unimask {

// The four pixels around each of LANES points: row-major indices in the order top-left, top-right,
// bottom-left, bottom-right; -1 for a pixel outside of the map.
struct Corners {
  vint index[4];
  vfloat fx, fy;  // distance from the left and from the top pixel, in [0, 1)

  // Bilinear weight, whether the pixel is there or not.
  inline __attribute__((always_inline)) vfloat weight(int corner) const {
    return (corner & 1 ? fx : 1.0f - fx) * (corner & 2 ? fy : 1.0f - fy);
  }
};

// The next `count` <= LANES points (x,y,x,y,...) as two vectors; lanes past them are 0.
inline __attribute__((always_inline)) void load_points(
    const float* points, int64_t count, vfloat* u, vfloat* v) {
  float pair[2 * LANES] = {}, first[LANES], second[LANES];
  if (count >= LANES) {
    std::memcpy(pair, points, sizeof pair);
  } else {
    std::memcpy(pair, points, 2 * count * sizeof(float));
  }
  for (int64_t i = 0; i < LANES; ++i) first[i] = pair[2 * i], second[i] = pair[2 * i + 1];
  *u = load(first), *v = load(second);
}

// x and y are in pixels, 0 at the centre of the first. Any value is safe: points that touch no
// pixel, infinities and NaN get four absent corners.
inline __attribute__((always_inline)) Corners locate_pixel(
    vfloat x, vfloat y, vfloat width, vfloat height, vint row_length, vint start) {
  const vint inside = (x > -1.0f) & (x < width) & (y > -1.0f) & (y < height);
  const vfloat safe_x = select(inside, x, vfloat{}), safe_y = select(inside, y, vfloat{});
  const vint left = floor_to_int(safe_x), top = floor_to_int(safe_y);
  const vint has_left = inside & (left >= 0), has_right = inside & (left + 1 < row_length);
  const vint has_top = top >= 0, has_bottom = to_float(top) + 1.0f < height;
  const vint first = start + top * row_length + left;
  Corners c;  // mask ? index : -1 is index | ~mask
  c.index[0] = first | ~(has_left & has_top);
  c.index[1] = (first + 1) | ~(has_right & has_top);
  c.index[2] = (first + row_length) | ~(has_left & has_bottom);
  c.index[3] = (first + row_length + 1) | ~(has_right & has_bottom);
  c.fx = safe_x - to_float(left);
  c.fy = safe_y - to_float(top);
  return c;
}

// The same for u and v in units of the map's width and height.
inline __attribute__((always_inline)) Corners locate(
    vfloat u, vfloat v, vfloat width, vfloat height, vint row_length, vint start) {
  return locate_pixel(u * width - 0.5f, v * height - 0.5f, width, height, row_length, start);
}

}  // namespace unimask
