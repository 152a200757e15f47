/* Elementary functions on vectors of floats: exp and log within 2 ulp, tanh and sigmoid within 4, as libm has
 * them at the edges: overflow to infinity, underflow through denormals to 0, NaN stays NaN. Polynomials and
 * reductions are those of Cephes (S. Moshier, netlib.org/cephes). Included by kernels only. */
#ifndef CNN_KERNELS_MATH_H
#define CNN_KERNELS_MATH_H

#include "kernels/simd.h"

#include <math.h>

static inline vi v_set1_i(int32_t x) {
    return x - (vi){0};
}

/* Bits of a where the mask is set, else 0. */
static inline vf v_keep(vi mask, vf a) {
    return (vf)(mask & (vi)a);
}

static inline vf v_abs(vf x) {
    return v_keep(v_set1_i(INT32_MAX), x);
}

/* |x| with the sign of y. */
static inline vf v_copysign(vf x, vf y) {
    return (vf)(((vi)x & INT32_MAX) | ((vi)y & INT32_MIN));
}

/* 2^n for -126 ≤ n ≤ 127. */
static inline vf v_power2(vi n) {
    return (vf)((n + 127) << 23);
}

/* e^r - 1 for |r| ≤ ln(2)/2. */
static inline vf v_expm1_near(vf r) {
    vf p = v_set1(1.9875691500e-4f);
    p = v_fma(p, r, v_set1(1.3981999507e-3f));
    p = v_fma(p, r, v_set1(8.3334519073e-3f));
    p = v_fma(p, r, v_set1(4.1665795894e-2f));
    p = v_fma(p, r, v_set1(1.6666665459e-1f));
    p = v_fma(p, r, v_set1(5.0000001201e-1f));
    return v_fma(p, r * r, r);
}

/* e^x = 2^n·e^r with n = round(x/ln 2), |r| ≤ ln(2)/2. 2^n goes on in two halves, so that results beyond the
 * normal range come out as they should. Clamping keeps NaN: v_min and v_max return their second argument
 * then. */
static inline vf v_exp(vf x) {
    const float magic = 12582912.0f; /* 1.5·2^23: adding it rounds to an integer in the low bits */
    vf inside = v_min(v_set1(89.0f), v_max(v_set1(-104.0f), x));
    vf shifted = v_fma(inside, v_set1(1.44269504088896341f), v_set1(magic));
    vf whole = shifted - magic;
    vi n = (vi)shifted - (vi)v_set1(magic);
    vf r = v_fma(whole, v_set1(-0.693359375f), inside);
    r = v_fma(whole, v_set1(2.12194440e-4f), r);
    vi half = n >> 1;
    return (v_expm1_near(r) + 1.0f) * v_power2(half) * v_power2(n - half);
}

/* e^x - 1, also for small x. */
static inline vf v_expm1(vf x) {
    return v_select(v_abs(x) < 0.34f, v_expm1_near(x), v_exp(x) - 1.0f);
}

/* log x = log m + e·ln 2 with x = m·2^e, √½ ≤ m < √2. */
static inline vf v_log(vf x) {
    vi tiny = x < 1.17549435e-38f;
    vf scaled = v_select(tiny, x * 8388608.0f, x); /* denormals times 2^23 */
    vi bits = (vi)scaled;
    vi e = (bits >> 23) - 126 - (tiny & 23);
    vf m = (vf)((bits & 0x007fffff) | 0x3f000000); /* in [½, 1) */
    vi low = m < 0.707106781186547524f;
    e += low; /* true is -1 */
    m = m - 1.0f + v_keep(low, m);
    vf fe = __builtin_convertvector(e, vf), z = m * m;
    vf p = v_set1(7.0376836292e-2f);
    p = v_fma(p, m, v_set1(-1.1514610310e-1f));
    p = v_fma(p, m, v_set1(1.1676998740e-1f));
    p = v_fma(p, m, v_set1(-1.2420140846e-1f));
    p = v_fma(p, m, v_set1(1.4249322787e-1f));
    p = v_fma(p, m, v_set1(-1.6668057665e-1f));
    p = v_fma(p, m, v_set1(2.0000714765e-1f));
    p = v_fma(p, m, v_set1(-2.4999993993e-1f));
    p = v_fma(p, m, v_set1(3.3333331174e-1f));
    vf y = p * m * z;
    y = v_fma(fe, v_set1(-2.12194440e-4f), y);
    y = v_fma(z, v_set1(-0.5f), y);
    y = v_fma(fe, v_set1(0.693359375f), m + y);
    vi ordinary = (x > 0) & (x < INFINITY);
    vf special = v_select(x == 0, v_set1(-INFINITY), v_select(x > 0, x, v_set1(NAN)));
    return v_select(ordinary, y, special);
}

/* log(1 + x) for x ≥ 0, right also where 1 + x rounds: the rounding's share is added back (Goldberg 1991). */
static inline vf v_log1p(vf x) {
    vf w = x + 1.0f;
    return v_log(w) - v_select(w < INFINITY, ((w - 1.0f) - x) / w, v_set1(0.0f));
}

static inline vf v_sigmoid(vf x) {
    return 1.0f / (1.0f + v_exp(-x));
}

/* x + x³·P(x²) near 0, elsewhere 1 - 2/(e^2|x| + 1) with the sign of x. */
static inline vf v_tanh(vf x) {
    vf a = v_abs(x), z = x * x;
    vf p = v_set1(-5.70498872745e-3f);
    p = v_fma(p, z, v_set1(2.06390887954e-2f));
    p = v_fma(p, z, v_set1(-5.37397155531e-2f));
    p = v_fma(p, z, v_set1(1.33314422036e-1f));
    p = v_fma(p, z, v_set1(-3.33332819422e-1f));
    vf near = v_fma(p * z, x, x);
    vf far = v_copysign(1.0f - 2.0f / (v_exp(a + a) + 1.0f), x);
    return v_select(a < 0.625f, near, far);
}

/* Abramowitz and Stegun 7.1.26: the absolute error stays below 2e-7. */
static inline vf v_erf(vf x) {
    vf a = v_abs(x), t = 1.0f / v_fma(v_set1(0.3275911f), a, v_set1(1.0f));
    vf p = v_fma(v_set1(1.061405429f), t, v_set1(-1.453152027f));
    p = v_fma(p, t, v_set1(1.421413741f));
    p = v_fma(p, t, v_set1(-0.284496736f));
    p = v_fma(p, t, v_set1(0.254829592f));
    return v_copysign(1.0f - p * t * v_exp(-a * a), x);
}

/* log(1 + e^x) without overflow. */
static inline vf v_softplus(vf x) {
    return v_max(v_set1(0.0f), x) + v_log1p(v_exp(-v_abs(x)));
}

/* The largest element; not a number only by chance where one is among them. */
static inline float v_largest(vf v) {
    float s[CNN_LANES];
    memcpy(s, &v, sizeof v);
    for (int width = CNN_LANES / 2; width > 0; width /= 2)
        for (int i = 0; i < width; i++) s[i] = s[i] > s[i + width] ? s[i] : s[i + width];
    return s[0];
}

/* The first n elements (n may be CNN_LANES or more: all of them), the rest `fill`; and their store. */
static inline vf v_load_or(const float *p, int64_t n, float fill) {
    if (n >= CNN_LANES) return v_load(p);
    vi lane;
    for (int i = 0; i < CNN_LANES; i++) lane[i] = i;
    return v_select(lane < (int)n, v_load_n(p, (int)n), v_set1(fill));
}

static inline vf v_load_some(const float *p, int64_t n) {
    return n >= CNN_LANES ? v_load(p) : v_load_n(p, (int)n);
}

static inline void v_store_some(float *p, vf v, int64_t n) {
    if (n >= CNN_LANES)
        v_store(p, v);
    else
        v_store_n(p, v, (int)n);
}

#endif
