// From what the layers predict to what deformable attention takes, and back: locations are reference
// points plus offsets in pixels of the level, weights are a softmax over a head's samples.
// N queries of B images, Q of one image, H heads, L levels, P points; offsets and locations
// (N,H,L,P,2), logits and weights (N,H,L,P).

#include <cstdint>
#include <vector>

#include "activations.h"
#include "simd.h"

namespace unimask {
namespace {

// Softmax of `count` numbers. As in torch, NaN or +inf among them give NaN.
void softmax(const float* logits, int64_t count, float* out) {
  float most = logits[0];
  for (int64_t i = 0; i < count; i += LANES) {
    const float each = largest(load_some(logits + i, count - i, logits[0]));
    most = each > most ? each : most;
  }
  vfloat sum = {};
  for (int64_t i = 0; i < count; i += LANES) {
    const vfloat power = exp_negative(load_some(logits + i, count - i, -1e30f) - most);
    sum += power;
    store_some(out + i, power, count - i);
  }
  const float scale = 1.0f / sum_lanes(sum);
  for (int64_t i = 0; i < count; ++i) out[i] *= scale;
}

// 1 / (width, height) of each sample's level, in the order of the offsets of a query.
std::vector<float> scales(int64_t heads, int64_t levels, int64_t points, const int64_t* shapes) {
  std::vector<float> out;
  for (int64_t h = 0; h < heads; ++h)
    for (int64_t l = 0; l < levels; ++l)
      for (int64_t p = 0; p < points; ++p) {
        out.push_back(1.0f / shapes[2 * l + 1]);
        out.push_back(1.0f / shapes[2 * l]);
      }
  return out;
}

}  // namespace
}  // namespace unimask

extern "C" {

// sizes: N, Q, H, L, P. shapes (L,2): height, width. reference (Q,2): x, y in [0,1].
void unimask_sampling_forward(const int64_t* sizes, const int64_t* shapes, const float* reference,
                              const float* offsets, const float* logits, float* locations,
                              float* weights, int threads) {
  const int64_t queries = sizes[1], heads = sizes[2], samples = sizes[3] * sizes[4];
  const std::vector<float> scale = unimask::scales(heads, sizes[3], sizes[4], shapes);
  const int64_t length = scale.size();
  unimask::parallel_for(sizes[0], 64, threads, [&](int64_t first, int64_t last) {
    for (int64_t n = first; n < last; ++n) {
      const float x = reference[2 * (n % queries)], y = reference[2 * (n % queries) + 1];
      const float* offset = offsets + n * length;
      float* location = locations + n * length;
      for (int64_t i = 0; i < length; i += 2) {
        location[i] = x + offset[i] * scale[i];
        location[i + 1] = y + offset[i + 1] * scale[i + 1];
      }
      for (int64_t h = n * heads; h < (n + 1) * heads; ++h)
        unimask::softmax(logits + h * samples, samples, weights + h * samples);
    }
  });
}

// Turns the gradients of locations and weights, where they lie, into those of offsets and logits.
void unimask_sampling_backward(const int64_t* sizes, const int64_t* shapes, const float* weights,
                               float* grad_locations, float* grad_weights, int threads) {
  const int64_t heads = sizes[2], samples = sizes[3] * sizes[4];
  const std::vector<float> scale = unimask::scales(heads, sizes[3], sizes[4], shapes);
  const int64_t length = scale.size();
  unimask::parallel_for(sizes[0], 64, threads, [&](int64_t first, int64_t last) {
    for (int64_t n = first; n < last; ++n) {
      float* grad = grad_locations + n * length;
      for (int64_t i = 0; i < length; ++i) grad[i] *= scale[i];
      for (int64_t h = n * heads; h < (n + 1) * heads; ++h) {
        const float* weight = weights + h * samples;
        float *slope = grad_weights + h * samples, mean = 0.0f;
        for (int64_t i = 0; i < samples; ++i) mean += weight[i] * slope[i];
        for (int64_t i = 0; i < samples; ++i) slope[i] = weight[i] * (slope[i] - mean);
      }
    }
  });
}

}  // extern "C"
