// Multi-scale deformable attention (Deformable DETR, eq. 3) on the CPU, forward and backward.
// B images, S = sum of h*w value rows, H heads, D channels per head, Q queries, L levels, P points.
// value (B,S,H,D), locations (B,Q,H,L,P,2) in [0,1] as x,y, weights (B,Q,H,L,P), output (B,Q,H,D).

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "bilinear.h"
#include "simd.h"

namespace unimask {
namespace {

struct Problem {
  int64_t B, S, H, D, Q, L, P;
  const int64_t* shapes;  // (L,2): height, width
};

// Size and first value row of the level of each sample, for samples in the order (head, level, point).
struct LevelTable {
  std::vector<float> width, height;
  std::vector<int32_t> row_length, start;

  explicit LevelTable(const Problem& p) {
    for (int64_t h = 0; h < p.H; ++h) {
      int64_t first = 0;
      for (int64_t l = 0; l < p.L; ++l) {
        append(p.P, p.shapes[2 * l], p.shapes[2 * l + 1], first);
        first += p.shapes[2 * l] * p.shapes[2 * l + 1];
      }
    }
    append(LANES, 1, 1, 0);  // vectors may be read past the end
  }

  void append(int64_t count, int64_t h, int64_t w, int64_t first) {
    width.insert(width.end(), count, static_cast<float>(w));
    height.insert(height.end(), count, static_cast<float>(h));
    row_length.insert(row_length.end(), count, static_cast<int32_t>(w));
    start.insert(start.end(), count, static_cast<int32_t>(first));
  }
};

// Corners of a run of samples, one array per quantity.
struct Samples {
  std::vector<int32_t> row[4];
  std::vector<float> coefficient[4];  // bilinear weight times attention weight
  std::vector<float> fx, fy;

  explicit Samples(int64_t capacity)
      : fx(round_up(capacity, LANES)), fy(round_up(capacity, LANES)) {
    for (int c = 0; c < 4; ++c) row[c].resize(fx.size()), coefficient[c].resize(fx.size());
  }

  // `first`: position of the run's first sample in the table.
  void prepare(const LevelTable& table, int64_t first, int64_t count, const float* locations,
               const float* weights) {
    for (int64_t i = 0; i < count; i += LANES) {
      vfloat u, v, weight = {};
      load_points(locations + 2 * i, count - i, &u, &v);
      std::memcpy(&weight, weights + i, std::min(LANES, count - i) * sizeof(float));
      const Corners corners =
          locate(u, v, load(&table.width[first + i]), load(&table.height[first + i]),
                 load(&table.row_length[first + i]), load(&table.start[first + i]));
      for (int c = 0; c < 4; ++c) {
        store(&row[c][i], corners.index[c]);
        store(&coefficient[c][i], weight * corners.weight(c));
      }
      store(&fx[i], corners.fx), store(&fy[i], corners.fy);
    }
  }
};

// Sum over samples and corners of N*16 channels, kept in registers.
template <int N>
void gather(const Samples& s, int64_t begin, int64_t end, const float* value, int64_t stride,
            float* out) {
  vfloat sum[N] = {};
  for (int64_t i = begin; i < end; ++i) {
    for (int c = 0; c < 4; ++c) {
      const int32_t row = s.row[c][i];
      if (row < 0) continue;
      const float coefficient = s.coefficient[c][i];
      const float* from = value + row * stride;
      for (int n = 0; n < N; ++n) sum[n] += coefficient * load(from + n * LANES);
    }
  }
  for (int n = 0; n < N; ++n) store(out + n * LANES, sum[n]);
}

void gather_one(const Samples& s, int64_t begin, int64_t end, const float* value, int64_t stride,
                float* out) {
  float sum = 0.0f;
  for (int64_t i = begin; i < end; ++i) {
    for (int c = 0; c < 4; ++c) {
      if (s.row[c][i] >= 0) sum += s.coefficient[c][i] * value[s.row[c][i] * stride];
    }
  }
  *out = sum;
}

void gather_head(const Samples& s, int64_t begin, int64_t end, const float* value, int64_t stride,
                 int64_t channels, float* out) {
  int64_t d = 0;
  for (; d + 64 <= channels; d += 64) gather<4>(s, begin, end, value + d, stride, out + d);
  for (; d + 32 <= channels; d += 32) gather<2>(s, begin, end, value + d, stride, out + d);
  for (; d + 16 <= channels; d += 16) gather<1>(s, begin, end, value + d, stride, out + d);
  for (; d < channels; ++d) gather_one(s, begin, end, value + d, stride, out + d);
}

void forward(const Problem& p, const float* value, const float* locations, const float* weights,
             float* out, int threads) {
  const LevelTable table(p);
  const int64_t per_head = p.L * p.P, per_query = p.H * per_head, stride = p.H * p.D;
  parallel_for(p.B * p.Q, 32, threads, [&](int64_t first, int64_t last) {
    Samples samples(per_query);
    for (int64_t q = first; q < last; ++q) {
      samples.prepare(table, 0, per_query, locations + 2 * q * per_query, weights + q * per_query);
      const float* image = value + q / p.Q * p.S * stride;
      for (int64_t h = 0; h < p.H; ++h) {
        gather_head(samples, h * per_head, (h + 1) * per_head, image + h * p.D, stride, p.D,
                    out + q * stride + h * p.D);
      }
    }
  });
}

// Adds coefficient * grad_out to a row of the value's gradient; returns <grad_out, value row>.
template <int64_t FIXED>
inline __attribute__((always_inline)) float visit_row(
    const float* __restrict grad_out, const float* __restrict value, float* __restrict grad_value,
    float coefficient, int64_t channels) {
  const int64_t D = FIXED ? FIXED : channels;
  vfloat sum = {};
  int64_t d = 0;
  for (; d + LANES <= D; d += LANES) {
    const vfloat g = load(grad_out + d);
    sum += g * load(value + d);
    store(grad_value + d, load(grad_value + d) + coefficient * g);
  }
  float dot = sum_lanes(sum);
  for (; d < D; ++d) {
    dot += grad_out[d] * value[d];
    grad_value[d] += coefficient * grad_out[d];
  }
  return dot;
}

struct Gradients {
  float *value, *locations, *weights;
};

// One (query, head) and a run of its samples; all pointers already stand at that place.
template <int64_t FIXED>
void scatter_run(const Samples& s, int64_t begin, int64_t count, const Problem& p,
                 const float* width, const float* height, const float* grad_out,
                 const float* value, const float* weights, const Gradients& grad) {
  const int64_t stride = p.H * p.D;
  for (int64_t i = 0; i < count; ++i) {
    float dot[4];
    for (int c = 0; c < 4; ++c) {
      const int64_t row = s.row[c][begin + i];
      dot[c] = row < 0 ? 0.0f
                       : visit_row<FIXED>(grad_out, value + row * stride, grad.value + row * stride,
                                          s.coefficient[c][begin + i], p.D);
    }
    const float fx = s.fx[begin + i], fy = s.fy[begin + i];
    const float slope_x = (1.0f - fy) * (dot[1] - dot[0]) + fy * (dot[3] - dot[2]);
    const float slope_y = (1.0f - fx) * (dot[2] - dot[0]) + fx * (dot[3] - dot[1]);
    grad.locations[2 * i] = weights[i] * width[i] * slope_x;
    grad.locations[2 * i + 1] = weights[i] * height[i] * slope_y;
    grad.weights[i] = (1.0f - fy) * ((1.0f - fx) * dot[0] + fx * dot[1]) +
                      fy * ((1.0f - fx) * dot[2] + fx * dot[3]);
  }
}

// A task owns some heads and levels of one image, thus value rows that no other task writes:
// no atomics, no copies, and sums that do not depend on the number of threads.
struct Task {
  int64_t image, head, heads, level, levels;
};

// Few large tasks use the caches best (neighbouring heads share memory pages and lines); more and
// smaller ones are only made where threads would idle.
std::vector<Task> make_tasks(const Problem& p, int threads) {
  int64_t groups = 1;
  while (groups < p.H && (p.B * groups < threads || p.B * groups % threads)) ++groups;
  const int64_t levels = p.B * p.H < threads ? 1 : p.L, heads = (p.H + groups - 1) / groups;
  std::vector<Task> tasks;
  for (int64_t b = 0; b < p.B; ++b)
    for (int64_t h = 0; h < p.H; h += heads)
      for (int64_t l = 0; l < p.L; l += levels)
        tasks.push_back({b, h, std::min(heads, p.H - h), l, levels});
  return tasks;
}

template <int64_t FIXED>
void run_task(const Task& t, const Problem& p, const LevelTable& table, const float* grad_out,
              const float* value, const float* locations, const float* weights,
              const Gradients& grad) {
  const int64_t per_head = p.L * p.P, count = t.levels * p.P, first = t.level * p.P;
  const int64_t image = t.image * p.S * p.H * p.D;
  // Samples of neighbouring heads adjoin, unless the task leaves out levels.
  const int64_t heads_per_run = t.levels == p.L ? t.heads : 1;
  Samples samples(heads_per_run * count);
  for (int64_t q = t.image * p.Q; q < (t.image + 1) * p.Q; ++q) {
    for (int64_t h = t.head; h < t.head + t.heads; ++h) {
      const int64_t row = q * p.H + h, at = row * per_head + first;
      const int64_t begin = (h - t.head) % heads_per_run * count;
      if (begin == 0)
        samples.prepare(table, first, heads_per_run * count, locations + 2 * at, weights + at);
      scatter_run<FIXED>(samples, begin, count, p, &table.width[first], &table.height[first],
                         grad_out + row * p.D, value + image + h * p.D, weights + at,
                         {grad.value + image + h * p.D, grad.locations + 2 * at, grad.weights + at});
    }
  }
}

void backward(const Problem& p, const float* grad_out, const float* value, const float* locations,
              const float* weights, const Gradients& grad, int threads) {
  const LevelTable table(p);
  const std::vector<Task> tasks = make_tasks(p, threads);
  const auto run = p.D == 32 ? run_task<32> : p.D == 16 ? run_task<16> : run_task<0>;
  parallel_for(tasks.size(), 1, threads, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i)
      run(tasks[i], p, table, grad_out, value, locations, weights, grad);
  });
}

}  // namespace
}  // namespace unimask

extern "C" {

// sizes: B, S, H, D, Q, L, P.
void unimask_ms_deform_attn_forward(const int64_t* sizes, const int64_t* shapes, const float* value,
                                    const float* locations, const float* weights, float* out,
                                    int threads) {
  const unimask::Problem p{sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], sizes[6],
                           shapes};
  unimask::forward(p, value, locations, weights, out, threads);
}

// grad_value must be zero on entry; the other two gradients are written completely.
void unimask_ms_deform_attn_backward(const int64_t* sizes, const int64_t* shapes,
                                     const float* grad_out, const float* value,
                                     const float* locations, const float* weights,
                                     float* grad_value, float* grad_locations, float* grad_weights,
                                     int threads) {
  const unimask::Problem p{sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], sizes[6],
                           shapes};
  unimask::backward(p, grad_out, value, locations, weights,
                    {grad_value, grad_locations, grad_weights}, threads);
}

}  // extern "C"
