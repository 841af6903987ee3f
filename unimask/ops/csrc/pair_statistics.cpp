// What the matcher needs of R rows of logits x (R,P) against N targets t (N,P), in one pass:
//   sum softplus(x) (R), sum sigmoid(x) (R), x t^T (R,N), sigmoid(x) t^T (R,N).

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "simd.h"

namespace unimask {
namespace {

constexpr int64_t TILE = 512;  // points per tile: logits and sigmoids of two rows stay in L1
constexpr int ROWS = 2, TARGETS = 4;

// exp(x) for x <= 0 (0 below -87, where it is under 2e-38; NaN stays NaN), relative error 1e-7:
// x = n ln 2 + r with |r| <= ln 2 / 2, the Taylor series of exp(r), and n put into the exponent.
inline __attribute__((always_inline)) vfloat exp_negative(vfloat x) {
  const vint tiny = x < -87.0f;
  const vfloat clipped = select(tiny, vfloat{}, x);
  const vfloat shifted = clipped * 1.44269504f + 12582912.0f;  // 1.5 * 2^23 rounds to an integer
  const vfloat n = shifted - 12582912.0f;
  const vfloat r = (clipped - n * 0.693359375f) + n * 2.12194440e-4f;  // ln 2 in two parts
  vfloat p = r * (1.0f / 5040) + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const vint exponent = ((vint)shifted - (vint)(vfloat{} + 12582912.0f) + 127) << 23;
  return select(tiny, vfloat{}, p * (vfloat)exponent);
}

// log(1 + e) for 0 <= e <= 1 as 2 artanh(s), s = e / (2 + e) <= 1/3, by its power series.
inline __attribute__((always_inline)) vfloat log_one_plus(vfloat e) {
  const vfloat s = e / (e + 2.0f), z = s * s;
  vfloat p = z * (2.0f / 15) + 2.0f / 13;
  p = p * z + 2.0f / 11;
  p = p * z + 2.0f / 9;
  p = p * z + 2.0f / 7;
  p = p * z + 2.0f / 5;
  p = p * z + 2.0f / 3;
  p = p * z + 2.0f;
  return p * s;
}

// Both functions share e = exp(-|x|), which never overflows.
inline __attribute__((always_inline)) void activate(vfloat x, vfloat* softplus, vfloat* sigmoid) {
  const vint negative = x < 0.0f;
  const vfloat e = exp_negative(select(negative, x, -x));
  const vfloat inverse = 1.0f / (e + 1.0f);
  *sigmoid = select(negative, e * inverse, inverse);
  *softplus = select(negative, vfloat{}, x) + log_one_plus(e);
}

// A tile of up to ROWS rows; slots past the end of the data are zero.
struct Tile {
  float logit[ROWS][TILE], sigmoid[ROWS][TILE];

  // Copies `count` points of one row, fills the sigmoids and adds to the row's two sums.
  void fill(int row, const float* x, int64_t count, double* softplus_sum, double* sigmoid_sum) {
    const int64_t padded = round_up(count, LANES);
    std::memcpy(logit[row], x, count * sizeof(float));
    std::fill(logit[row] + count, logit[row] + padded, -1e30f);  // softplus = sigmoid = 0
    vfloat total_softplus = {}, total_sigmoid = {};
    for (int64_t i = 0; i < padded; i += LANES) {
      vfloat softplus, value;
      activate(load(logit[row] + i), &softplus, &value);
      store(sigmoid[row] + i, value);
      total_softplus += softplus, total_sigmoid += value;
    }
    std::fill(logit[row] + count, logit[row] + padded, 0.0f);
    *softplus_sum += sum_lanes(total_softplus);
    *sigmoid_sum += sum_lanes(total_sigmoid);
  }
};

// dots[0][r][n] += logit_r . t_n, dots[1][r][n] += sigmoid_r . t_n, for TARGETS targets.
void multiply(const Tile& tile, const float* const* targets, int64_t padded,
              double (*dots)[ROWS][TARGETS]) {
  vfloat sum[2][ROWS][TARGETS] = {};
  for (int64_t i = 0; i < padded; i += LANES) {
    vfloat x[ROWS], s[ROWS];
    for (int r = 0; r < ROWS; ++r) x[r] = load(tile.logit[r] + i), s[r] = load(tile.sigmoid[r] + i);
    for (int n = 0; n < TARGETS; ++n) {
      const vfloat t = load(targets[n] + i);
      for (int r = 0; r < ROWS; ++r) sum[0][r][n] += x[r] * t, sum[1][r][n] += s[r] * t;
    }
  }
  for (int k = 0; k < 2; ++k)
    for (int r = 0; r < ROWS; ++r)
      for (int n = 0; n < TARGETS; ++n) dots[k][r][n] += sum_lanes(sum[k][r][n]);
}

struct Result {
  float *softplus_sum, *sigmoid_sum, *dot, *sigmoid_dot;
};

// t is padded: (padded_N, padded_P) with zeros, multiples of TARGETS and LANES.
struct Targets {
  int64_t N, P, padded_N, padded_P;
  std::vector<float> data;

  Targets(const float* t, int64_t n, int64_t p)
      : N(n), P(p), padded_N(round_up(n, TARGETS)),
        padded_P(round_up(p, LANES)), data(padded_N * padded_P) {
    for (int64_t i = 0; i < n; ++i)
      std::copy(t + i * p, t + (i + 1) * p, data.data() + i * padded_P);
  }
};

void process_rows(int64_t first, int64_t rows, const float* x, const Targets& t, const Result& out) {
  const int64_t groups = t.padded_N / TARGETS;
  std::vector<double> dots(groups * 2 * ROWS * TARGETS);
  auto* table = reinterpret_cast<double(*)[2][ROWS][TARGETS]>(dots.data());
  double softplus[ROWS] = {}, sigmoid[ROWS] = {};
  Tile tile = {};
  for (int64_t begin = 0; begin < t.P; begin += TILE) {
    const int64_t count = std::min(TILE, t.P - begin);
    for (int64_t r = 0; r < rows; ++r)
      tile.fill(r, x + (first + r) * t.P + begin, count, &softplus[r], &sigmoid[r]);
    for (int64_t g = 0; g < groups; ++g) {
      const float* targets[TARGETS];
      for (int n = 0; n < TARGETS; ++n)
        targets[n] = t.data.data() + (g * TARGETS + n) * t.padded_P + begin;
      multiply(tile, targets, round_up(count, LANES), table[g]);
    }
  }
  for (int64_t r = 0; r < rows; ++r) {
    out.softplus_sum[first + r] = static_cast<float>(softplus[r]);
    out.sigmoid_sum[first + r] = static_cast<float>(sigmoid[r]);
    for (int64_t n = 0; n < t.N; ++n) {
      out.dot[(first + r) * t.N + n] = table[n / TARGETS][0][r][n % TARGETS];
      out.sigmoid_dot[(first + r) * t.N + n] = table[n / TARGETS][1][r][n % TARGETS];
    }
  }
}

}  // namespace
}  // namespace unimask

// sizes: R, N, P.
extern "C" void unimask_pair_statistics(const int64_t* sizes, const float* x, const float* t,
                                        float* softplus_sum, float* sigmoid_sum, float* dot,
                                        float* sigmoid_dot, int threads) {
  using namespace unimask;
  const Targets targets(t, sizes[1], sizes[2]);
  const Result out{softplus_sum, sigmoid_sum, dot, sigmoid_dot};
  parallel_for((sizes[0] + ROWS - 1) / ROWS, 8, threads, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i)
      process_rows(i * ROWS, std::min<int64_t>(ROWS, sizes[0] - i * ROWS), x, targets, out);
  });
}
