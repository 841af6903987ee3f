// Portable 16-lane float vectors (GCC and Clang vector extensions) and a thread loop.
// The compiler maps them to whatever the machine has: one AVX-512 register or several smaller ones.
#pragma once

#include <cstdint>
#include <cstring>

namespace unimask {

constexpr int64_t LANES = 16;
typedef float vfloat __attribute__((vector_size(64)));
typedef int32_t vint __attribute__((vector_size(64)));
typedef float vfloat8 __attribute__((vector_size(32)));
typedef float vfloat4 __attribute__((vector_size(16)));

inline __attribute__((always_inline)) vfloat load(const float* from) {
  vfloat v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

inline __attribute__((always_inline)) void store(float* to, vfloat v) {
  std::memcpy(to, &v, sizeof v);
}

inline __attribute__((always_inline)) void store_some(float* to, vfloat v, int64_t count) {
  std::memcpy(to, &v, (count < LANES ? count : LANES) * sizeof(float));
}

inline __attribute__((always_inline)) vint load(const int32_t* from) {
  vint v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

inline __attribute__((always_inline)) void store(int32_t* to, vint v) {
  std::memcpy(to, &v, sizeof v);
}

// The next `count` <= LANES values; `rest` in the lanes past them.
inline __attribute__((always_inline)) vfloat load_some(const float* from, int64_t count,
                                                       float rest) {
  if (count >= LANES) return load(from);
  vfloat v = vfloat{} + rest;
  std::memcpy(&v, from, count * sizeof(float));
  return v;
}

// Per lane; the mask is all ones or all zeros, as comparisons give it.
inline __attribute__((always_inline)) vfloat select(vint mask, vfloat yes, vfloat no) {
  return (vfloat)((mask & (vint)yes) | (~mask & (vint)no));
}

inline __attribute__((always_inline)) vfloat to_float(vint v) {
  return __builtin_convertvector(v, vfloat);
}

inline __attribute__((always_inline)) vint floor_to_int(vfloat v) {
  const vint truncated = __builtin_convertvector(v, vint);
  return truncated + (to_float(truncated) > v);  // a true comparison is -1
}

inline int64_t round_up(int64_t n, int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

inline __attribute__((always_inline)) float largest(vfloat v) {
  float lane[LANES], most = v[0];
  store(lane, v);
  for (int64_t i = 1; i < LANES; ++i) most = lane[i] > most ? lane[i] : most;
  return most;
}

inline __attribute__((always_inline)) vfloat4 fold(vfloat v) {
  vfloat8 half[2];
  std::memcpy(half, &v, sizeof v);
  const vfloat8 sum = half[0] + half[1];
  vfloat4 quarter[2];
  std::memcpy(quarter, &sum, sizeof sum);
  return quarter[0] + quarter[1];
}

inline __attribute__((always_inline)) float sum_lanes(vfloat v) {
  const vfloat4 s = fold(v);
  return (s[0] + s[2]) + (s[1] + s[3]);
}

// body(begin, end) over [0, n) in pieces of `grain`, shared out among `threads` threads.
template <class Body>
void parallel_for(int64_t n, int64_t grain, int threads, const Body& body) {
  const int64_t pieces = (n + grain - 1) / grain;
  if (threads <= 1 || pieces <= 1) {
    if (n > 0) body(int64_t{0}, n);
    return;
  }
#pragma omp parallel for schedule(dynamic) num_threads(threads)
  for (int64_t i = 0; i < pieces; ++i) {
    body(i * grain, (i + 1) * grain < n ? (i + 1) * grain : n);
  }
}

}  // namespace unimask
