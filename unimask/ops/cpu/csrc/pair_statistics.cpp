// What the matcher needs of R rows of logits x (R,P) against N targets t (N,P), in one pass:
//   sum softplus(x) (R), sum sigmoid(x) (R), x t^T (R,N), sigmoid(x) t^T (R,N).
// And what the losses need of matched rows, forward and backward: the same sums for R pairs of rows.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "activations.h"
#include "simd.h"

namespace unimask {
namespace {

constexpr int64_t TILE = 512;  // points per tile: logits and sigmoids of two rows stay in L1
constexpr int ROWS = 2, TARGETS = 4;

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

// Sums of softplus(x), sigmoid(x), x t, sigmoid(x) t and t over one pair of rows.
void sum_row(const float* x, const float* t, int64_t points, double* sums) {
  for (int64_t begin = 0; begin < points; begin += TILE) {
    vfloat part[5] = {};
    const int64_t end = std::min(begin + TILE, points);
    for (int64_t i = begin; i < end; i += LANES) {
      const vfloat logit = load_some(x + i, end - i, 0.0f);
      const vfloat target = load_some(t + i, end - i, 0.0f);
      vfloat softplus, sigmoid;
      activate(load_some(x + i, end - i, -1e30f), &softplus, &sigmoid);
      part[0] += softplus, part[1] += sigmoid, part[2] += logit * target;
      part[3] += sigmoid * target, part[4] += target;
    }
    for (int k = 0; k < 5; ++k) sums[k] += sum_lanes(part[k]);
  }
}

// Gradient for x of a row, given that of its first four sums.
void differentiate_row(const float* x, const float* t, int64_t points, const float* grads,
                       float* grad_x) {
  for (int64_t i = 0; i < points; i += LANES) {
    const vfloat target = load_some(t + i, points - i, 0.0f);
    vfloat softplus, sigmoid;
    activate(load_some(x + i, points - i, 0.0f), &softplus, &sigmoid);
    const vfloat slope = sigmoid * (1.0f - sigmoid);
    const vfloat grad = grads[0] * sigmoid + slope * (grads[1] + grads[3] * target) +
                        grads[2] * target;
    store_some(grad_x + i, grad, points - i);
  }
}

}  // namespace
}  // namespace unimask

// sizes: R, P. sums (5,R): of softplus(x), sigmoid(x), x t, sigmoid(x) t, t.
extern "C" void unimask_row_statistics_forward(const int64_t* sizes, const float* x,
                                               const float* t, float* sums, int threads) {
  const int64_t rows = sizes[0], points = sizes[1];
  unimask::parallel_for(rows, 1, threads, [=](int64_t first, int64_t last) {
    for (int64_t r = first; r < last; ++r) {
      double row[5] = {};
      unimask::sum_row(x + r * points, t + r * points, points, row);
      for (int k = 0; k < 5; ++k) sums[k * rows + r] = static_cast<float>(row[k]);
    }
  });
}

// grads (4,R): of the first four sums.
extern "C" void unimask_row_statistics_backward(const int64_t* sizes, const float* x,
                                                const float* t, const float* grads, float* grad_x,
                                                int threads) {
  const int64_t rows = sizes[0], points = sizes[1];
  unimask::parallel_for(rows, 1, threads, [=](int64_t first, int64_t last) {
    for (int64_t r = first; r < last; ++r) {
      const float row[4] = {grads[r], grads[rows + r], grads[2 * rows + r], grads[3 * rows + r]};
      unimask::differentiate_row(x + r * points, t + r * points, points, row, grad_x + r * points);
    }
  });
}

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
