// Random points, bilinear sampling of single-channel maps at points, its backward, the same for maps
// of labels, and the choice of the points where a map is least certain. M maps (h,w), P points per
// map as x,y in [0,1].

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "bilinear.h"
#include "simd.h"
#include "uniform.h"

namespace unimask {
namespace {

constexpr int64_t TILE = 256;

// Corners of up to TILE points of one map, one after the other; index -1: no pixel.
struct Tile {
  int32_t index[4][TILE];
  float weight[4][TILE];

  void prepare(const float* points, int64_t count, int64_t height, int64_t width) {
    const vfloat h = vfloat{} + static_cast<float>(height), w = vfloat{} + static_cast<float>(width);
    const vint length = vint{} + static_cast<int32_t>(width);
    for (int64_t i = 0; i < count; i += LANES) {
      vfloat u, v;
      load_points(points + 2 * i, count - i, &u, &v);
      const Corners corners = locate(u, v, w, h, length, vint{});
      for (int c = 0; c < 4; ++c) {
        store(index[c] + i, corners.index[c]);
        store(weight[c] + i, corners.weight(c));
      }
    }
  }
};

// Which pixels of a map of labels count as one; the others count as zero.
template <class Label>
struct Equals {
  const Label* map;
  Label wanted;

  float operator[](int32_t index) const { return map[index] == wanted ? 1.0f : 0.0f; }
};

struct Maps {
  int64_t M, height, width, P;
  const float* points;
  int64_t points_stride;  // floats from one map's points to the next one's; 0: all share them

  const float* points_of(int64_t m) const { return points + m * points_stride; }
};

// Map: anything that gives the value of a pixel by its index.
template <class Map>
void sample_range(const Maps& maps, const Map map, const float* points, int64_t count,
                  float* out) {
  Tile tile;
  for (int64_t begin = 0; begin < count; begin += TILE) {
    const int64_t size = std::min(TILE, count - begin);
    tile.prepare(points + 2 * begin, size, maps.height, maps.width);
    for (int64_t i = 0; i < size; ++i) {
      float sum = 0.0f;
      for (int c = 0; c < 4; ++c) {
        const int32_t index = tile.index[c][i];
        sum += index < 0 ? 0.0f : tile.weight[c][i] * map[index];
      }
      out[begin + i] = sum;
    }
  }
}

template <class Label>
void sample_labels(const Maps& p, const Label* maps, const int64_t* sources, const int64_t* wanted,
                   float* out, int threads) {
  parallel_for(p.M, 1, threads, [&](int64_t first, int64_t last) {
    for (int64_t m = first; m < last; ++m) {
      const Equals<Label> map{maps + sources[m] * p.height * p.width,
                              static_cast<Label>(wanted[m])};
      sample_range(p, map, p.points_of(m), p.P, out + m * p.P);
    }
  });
}

void scatter_map(const Maps& maps, const float* points, const float* grad_out, float* grad_map) {
  Tile tile;
  for (int64_t begin = 0; begin < maps.P; begin += TILE) {
    const int64_t size = std::min(TILE, maps.P - begin);
    tile.prepare(points + 2 * begin, size, maps.height, maps.width);
    for (int64_t i = 0; i < size; ++i) {
      for (int c = 0; c < 4; ++c) {
        const int32_t index = tile.index[c][i];
        if (index >= 0) grad_map[index] += tile.weight[c][i] * grad_out[begin + i];
      }
    }
  }
}

// The bits of a non-negative float order like its value; NaN comes after infinity.
void to_keys(const float* values, int64_t count, uint32_t* keys) {
  for (int64_t i = 0; i < count; ++i) {
    uint32_t bits;
    std::memcpy(&bits, values + i, sizeof bits);
    keys[i] = bits & 0x7fffffffu;
  }
}

// The k-th smallest key (k >= 1) by three rounds of counting, 11 + 10 + 10 bits: linear time for
// any input. `smaller` receives the number of keys below it.
uint32_t kth_smallest(const std::vector<uint32_t>& keys, int64_t k, int64_t* smaller) {
  constexpr int SHIFTS[3] = {20, 10, 0};
  constexpr uint32_t BITS[3] = {11, 10, 10};
  uint32_t prefix = 0, known = 0;  // `known` masks the bits of `prefix` that are settled
  *smaller = 0;
  for (int round = 0; round < 3; ++round) {
    const uint32_t mask = (1u << BITS[round]) - 1;
    int64_t count[2048] = {};
    for (const uint32_t key : keys) {
      if ((key & known) == prefix) ++count[key >> SHIFTS[round] & mask];
    }
    uint32_t bin = 0;
    while (*smaller + count[bin] < k) *smaller += count[bin++];
    prefix |= bin << SHIFTS[round];
    known |= mask << SHIFTS[round];
  }
  return prefix;
}

void select_points(const std::vector<uint32_t>& keys, int64_t k, const float* points, float* out) {
  int64_t smaller;
  const uint32_t limit = kth_smallest(keys, k, &smaller);
  int64_t ties = k - smaller;
  for (size_t i = 0; i < keys.size(); ++i) {
    if (keys[i] > limit || (keys[i] == limit && ties-- <= 0)) continue;
    *out++ = points[2 * i];
    *out++ = points[2 * i + 1];
  }
}

}  // namespace
}  // namespace unimask

extern "C" {

// sizes: M, height, width, P, points_stride.
void unimask_sample_maps_forward(const int64_t* sizes, const float* maps, const float* points,
                                 float* out, int threads) {
  const unimask::Maps p{sizes[0], sizes[1], sizes[2], sizes[3], points, sizes[4]};
  // Pieces of rows, so that a single map with many points keeps all threads busy.
  constexpr int64_t PIECE = 16 * unimask::TILE;
  const int64_t pieces = (p.P + PIECE - 1) / PIECE;
  unimask::parallel_for(p.M * pieces, 1, threads, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const int64_t m = i / pieces, begin = i % pieces * PIECE;
      unimask::sample_range(p, maps + m * p.height * p.width, p.points_of(m) + 2 * begin,
                            std::min(PIECE, p.P - begin), out + m * p.P + begin);
    }
  });
}

// grad_maps must be zero on entry.
void unimask_sample_maps_backward(const int64_t* sizes, const float* grad_out, const float* points,
                                  float* grad_maps, int threads) {
  const unimask::Maps p{sizes[0], sizes[1], sizes[2], sizes[3], points, sizes[4]};
  unimask::parallel_for(p.M, 1, threads, [&](int64_t first, int64_t last) {
    for (int64_t m = first; m < last; ++m)
      unimask::scatter_map(p, p.points_of(m), grad_out + m * p.P,
                           grad_maps + m * p.height * p.width);
  });
}

// Row m samples where map sources[m] has the value wanted[m]. bytes: size of a label, 1, 2 or 4.
void unimask_sample_labels(const int64_t* sizes, int64_t bytes, const void* maps,
                           const int64_t* sources, const int64_t* wanted, const float* points,
                           float* out, int threads) {
  const unimask::Maps p{sizes[0], sizes[1], sizes[2], sizes[3], points, sizes[4]};
  if (bytes == 1)
    unimask::sample_labels(p, static_cast<const uint8_t*>(maps), sources, wanted, out, threads);
  else if (bytes == 2)
    unimask::sample_labels(p, static_cast<const int16_t*>(maps), sources, wanted, out, threads);
  else
    unimask::sample_labels(p, static_cast<const int32_t*>(maps), sources, wanted, out, threads);
}

// The k points of each map with the smallest |value|, in the order given, 0 <= k <= P, and after
// them `others` random points, into out (M,k+others,2). Without points (null), row m takes points
// m * P ... of the seed's sequence; the others stand behind all of these.
void unimask_uncertain_points(const int64_t* sizes, int64_t k, int64_t others, uint64_t seed,
                              const float* maps, const float* points, float* out, int threads) {
  const unimask::Maps p{sizes[0], sizes[1], sizes[2], sizes[3], points, sizes[4]};
  unimask::parallel_for(p.M, 1, threads, [&](int64_t first, int64_t last) {
    std::vector<float> values(p.P), drawn(points ? 0 : 2 * p.P);
    std::vector<uint32_t> keys(p.P);
    for (int64_t m = first; m < last; ++m) {
      if (!points) unimask::draw_points(seed, m * p.P, (m + 1) * p.P, drawn.data());
      const float* row = points ? p.points_of(m) : drawn.data();
      unimask::sample_range(p, maps + m * p.height * p.width, row, p.P, values.data());
      unimask::to_keys(values.data(), p.P, keys.data());
      float* target = out + m * (k + others) * 2;
      if (k) unimask::select_points(keys, k, row, target);
      const int64_t from = p.M * p.P + m * others;
      unimask::draw_points(seed, from, from + others, target + 2 * k);
    }
  });
}

// The first `count` points of the seed's sequence.
void unimask_uniform_points(uint64_t seed, int64_t count, float* out, int threads) {
  unimask::parallel_for(count, 1 << 15, threads, [=](int64_t first, int64_t last) {
    unimask::draw_points(seed, first, last, out + 2 * first);
  });
}

}  // extern "C"
