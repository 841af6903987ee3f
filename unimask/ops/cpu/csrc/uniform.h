// Uniform random numbers by hashing a counter (SplitMix64: Steele, Lea and Flood 2014), so that
// they can be drawn in vectors and by many threads, and depend on the seed alone.
#pragma once

#include <cstdint>

namespace unimask {

inline __attribute__((always_inline)) uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

// 24 random bits as a float in [0, 1).
inline __attribute__((always_inline)) float to_unit(uint64_t bits) {
  return static_cast<float>(static_cast<int32_t>(bits & 0xffffff)) * 0x1p-24f;
}

// Points [first, last) of the sequence of random points that the seed stands for.
inline void draw_points(uint64_t seed, int64_t first, int64_t last, float* out) {
  for (int64_t i = 0; i < last - first; ++i) {
    const uint64_t z = mix(seed + static_cast<uint64_t>(first + i + 1) * 0x9e3779b97f4a7c15u);
    out[2 * i] = to_unit(z >> 40);
    out[2 * i + 1] = to_unit(z >> 8);
  }
}

}  // namespace unimask
