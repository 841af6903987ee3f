// exp, softplus and sigmoid of vectors, exact to about 1e-7.
#pragma once

#include "simd.h"

namespace unimask {

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

}  // namespace unimask
