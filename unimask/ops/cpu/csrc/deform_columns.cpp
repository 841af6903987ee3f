// Columns of a modulated deformable convolution (Deformable ConvNets v2, eq. 1) on the CPU.
// S = h*w value rows, G groups of channels, D channels per group, Q positions, T taps of the kernel.
// value (S,G,D), places (Q,G,T,2) in pixels as y,x, mask (Q,G,T), columns (Q,G,T,D) of one image:
// bilinear samples, zeros outside, times the mask. A matrix product makes a convolution of them.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "bilinear.h"
#include "simd.h"

namespace unimask {
namespace {

struct Columns {
  int64_t height, width, G, D, Q, T;
  int64_t stride() const { return G * D; }
  int64_t samples() const { return G * T; }
};

// Pixels around a run of samples, one array per quantity.
struct Taps {
  std::vector<int32_t> row[4];
  std::vector<float> weight[4];
  std::vector<float> fx, fy;

  explicit Taps(int64_t capacity) : fx(round_up(capacity, LANES)), fy(fx.size()) {
    for (int c = 0; c < 4; ++c) row[c].resize(fx.size()), weight[c].resize(fx.size());
  }

  void prepare(const Columns& p, const float* places, int64_t count) {
    const vfloat w = vfloat{} + static_cast<float>(p.width);
    const vfloat h = vfloat{} + static_cast<float>(p.height);
    const vint length = vint{} + static_cast<int32_t>(p.width);
    for (int64_t i = 0; i < count; i += LANES) {
      vfloat y, x;
      load_points(places + 2 * i, count - i, &y, &x);
      const Corners corners = locate_pixel(x, y, w, h, length, vint{});
      for (int c = 0; c < 4; ++c) {
        store(&row[c][i], corners.index[c]);
        store(&weight[c][i], corners.weight(c));
      }
      store(&fx[i], corners.fx), store(&fy[i], corners.fy);
    }
  }
};

void blend(const Taps& taps, int64_t i, const float* value, int64_t stride, int64_t channels,
           float mask, float* out) {
  int64_t d = 0;
  for (; d + LANES <= channels; d += LANES) {
    vfloat sum = {};
    for (int c = 0; c < 4; ++c) {
      const int64_t row = taps.row[c][i];
      if (row >= 0) sum += taps.weight[c][i] * load(value + row * stride + d);
    }
    store(out + d, mask * sum);
  }
  for (; d < channels; ++d) {
    float sum = 0.0f;
    for (int c = 0; c < 4; ++c) {
      const int64_t row = taps.row[c][i];
      if (row >= 0) sum += taps.weight[c][i] * value[row * stride + d];
    }
    out[d] = mask * sum;
  }
}

void forward(const Columns& p, const float* value, const float* places, const float* mask,
             float* out, int threads) {
  const int64_t run = p.samples();
  parallel_for(p.Q, 16, threads, [&](int64_t first, int64_t last) {
    Taps taps(run);
    for (int64_t q = first; q < last; ++q) {
      taps.prepare(p, places + 2 * q * run, run);
      for (int64_t i = 0; i < run; ++i) {
        blend(taps, i, value + i / p.T * p.D, p.stride(), p.D, mask[q * run + i],
              out + (q * run + i) * p.D);
      }
    }
  });
}

// Adds coefficient * grad to a row of the value's gradient; returns <grad, value row>.
float visit(const float* __restrict grad, const float* __restrict value,
            float* __restrict grad_value, float coefficient, int64_t channels) {
  vfloat sum = {};
  int64_t d = 0;
  for (; d + LANES <= channels; d += LANES) {
    const vfloat g = load(grad + d);
    sum += g * load(value + d);
    store(grad_value + d, load(grad_value + d) + coefficient * g);
  }
  float dot = sum_lanes(sum);
  for (; d < channels; ++d) {
    dot += grad[d] * value[d];
    grad_value[d] += coefficient * grad[d];
  }
  return dot;
}

struct ColumnGradients {
  float *value, *places, *mask;
};

void scatter(const Columns& p, const Taps& taps, int64_t i, const float* value, const float* grad_out,
             float mask, const ColumnGradients& grad) {
  float dot[4];
  for (int c = 0; c < 4; ++c) {
    const int64_t row = taps.row[c][i];
    dot[c] = row < 0 ? 0.0f
                     : visit(grad_out, value + row * p.stride(), grad.value + row * p.stride(),
                             mask * taps.weight[c][i], p.D);
  }
  const float fx = taps.fx[i], fy = taps.fy[i];
  grad.places[0] = mask * ((1.0f - fx) * (dot[2] - dot[0]) + fx * (dot[3] - dot[1]));
  grad.places[1] = mask * ((1.0f - fy) * (dot[1] - dot[0]) + fy * (dot[3] - dot[2]));
  *grad.mask = (1.0f - fy) * ((1.0f - fx) * dot[0] + fx * dot[1]) +
               fy * ((1.0f - fx) * dot[2] + fx * dot[3]);
}

// A task owns some groups of channels, thus parts of value rows that no other task writes: no
// atomics, and sums that do not depend on the number of threads.
void backward(const Columns& p, const float* grad_columns, const float* value, const float* places,
              const float* mask, const ColumnGradients& grad, int threads) {
  const int64_t groups = std::max<int64_t>(1, p.G / std::max(threads, 1));
  parallel_for(p.G, groups, threads, [&](int64_t first, int64_t last) {
    const int64_t run = (last - first) * p.T;
    Taps taps(run);
    for (int64_t q = 0; q < p.Q; ++q) {
      const int64_t start = q * p.samples() + first * p.T;
      taps.prepare(p, places + 2 * start, run);
      for (int64_t i = 0; i < run; ++i) {
        const int64_t at = start + i, channel = (first + i / p.T) * p.D;
        scatter(p, taps, i, value + channel, grad_columns + at * p.D, mask[at],
                {grad.value + channel, grad.places + 2 * at, grad.mask + at});
      }
    }
  });
}

}  // namespace
}  // namespace unimask

extern "C" {

// sizes: height, width, G, D, Q, T.
void unimask_deform_columns_forward(const int64_t* sizes, const float* value, const float* places,
                                    const float* mask, float* out, int threads) {
  const unimask::Columns p{sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5]};
  unimask::forward(p, value, places, mask, out, threads);
}

// Adds to grad_value; the other two gradients are written completely.
void unimask_deform_columns_backward(const int64_t* sizes, const float* grad_columns,
                                     const float* value, const float* places, const float* mask,
                                     float* grad_value, float* grad_places, float* grad_mask,
                                     int threads) {
  const unimask::Columns p{sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5]};
  unimask::backward(p, grad_columns, value, places, mask, {grad_value, grad_places, grad_mask},
                    threads);
}

}  // extern "C"
