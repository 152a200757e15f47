/* Vectors of floats as wide as the instruction set being compiled for: GCC's vector types, so that one source
 * serves AVX-512, AVX2, SSE2 and NEON. Included by kernels only. */
#ifndef CNN_KERNELS_SIMD_H
#define CNN_KERNELS_SIMD_H

#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#if defined(__AVX512F__)
#define CNN_LANES 16
#elif defined(__AVX__)
#define CNN_LANES 8
#else
#define CNN_LANES 4
#endif

typedef float vf __attribute__((vector_size(4 * CNN_LANES)));
typedef int32_t vi __attribute__((vector_size(4 * CNN_LANES)));

static inline vf v_load(const float *p) {
    vf v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void v_store(float *p, vf v) {
    memcpy(p, &v, sizeof v);
}

static inline vf v_set1(float x) {
    return x - (vf){0};
}

/* The first n < CNN_LANES elements, the rest 0; and their store. Nothing beyond them is touched. */
static inline vf v_load_n(const float *p, int n) {
#if defined(__AVX512F__)
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#elif defined(__AVX2__)
    const vi lane = {0, 1, 2, 3, 4, 5, 6, 7};
    return _mm256_maskload_ps(p, (__m256i)(lane < n));
#else
    vf v = {0};
    for (int i = 0; i < n; i++) v[i] = p[i];
    return v;
#endif
}

static inline void v_store_n(float *p, vf v, int n) {
#if defined(__AVX512F__)
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), v);
#elif defined(__AVX2__)
    const vi lane = {0, 1, 2, 3, 4, 5, 6, 7};
    _mm256_maskstore_ps(p, (__m256i)(lane < n), v);
#else
    for (int i = 0; i < n; i++) p[i] = v[i];
#endif
}

/* a·b + c, rounded once where the instruction set can. */
static inline vf v_fma(vf a, vf b, vf c) {
#if defined(__AVX512F__)
    return _mm512_fmadd_ps(a, b, c);
#elif defined(__FMA__)
    return _mm256_fmadd_ps(a, b, c);
#elif defined(__aarch64__)
    return vfmaq_f32(c, a, b);
#else
    return a * b + c;
#endif
}

/* mask ? a : b by lane; masks are the -1/0 of a vector comparison. */
static inline vf v_select(vi mask, vf a, vf b) {
    return (vf)((mask & (vi)a) | (~mask & (vi)b));
}

/* a > b ? a : b, and a < b ? a : b: b where either is not a number. */
static inline vf v_max(vf a, vf b) {
#if defined(__AVX512F__)
    return _mm512_max_ps(a, b);
#elif defined(__AVX__)
    return _mm256_max_ps(a, b);
#elif defined(__SSE__)
    return _mm_max_ps(a, b);
#else
    return v_select(a > b, a, b);
#endif
}

static inline vf v_min(vf a, vf b) {
#if defined(__AVX512F__)
    return _mm512_min_ps(a, b);
#elif defined(__AVX__)
    return _mm256_min_ps(a, b);
#elif defined(__SSE__)
    return _mm_min_ps(a, b);
#else
    return v_select(a < b, a, b);
#endif
}

/* The first halves of two vectors, lane by lane in turns; and the second ones. */
static inline vf v_first_halves(vf a, vf b) {
#if CNN_LANES == 16
    return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
#elif CNN_LANES == 8
    return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
#else
    return __builtin_shufflevector(a, b, 0, 4, 1, 5);
#endif
}

static inline vf v_second_halves(vf a, vf b) {
#if CNN_LANES == 16
    return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
#elif CNN_LANES == 8
    return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
#else
    return __builtin_shufflevector(a, b, 2, 6, 3, 7);
#endif
}

/* Lane l is four[which[l]]; which is 0 … 3. */
static inline vf v_pick(const float *four, vi which) {
#if defined(__AVX512F__)
    return _mm512_permutevar_ps(_mm512_broadcast_f32x4(_mm_loadu_ps(four)), (__m512i)which);
#elif defined(__AVX__)
    return _mm256_permutevar_ps(_mm256_broadcast_ps((const __m128 *)(const void *)four), (__m256i)which);
#else
    vf low = v_select(which == 1, v_set1(four[1]), v_set1(four[0]));
    vf high = v_select(which == 3, v_set1(four[3]), v_set1(four[2]));
    return v_select(which >= 2, high, low);
#endif
}

/* Lane l is v[which[l]]. */
static inline vf v_permute(vf v, vi which) {
#if defined(__AVX512F__)
    return _mm512_permutexvar_ps((__m512i)which, v);
#elif defined(__AVX2__)
    return _mm256_permutevar8x32_ps(v, (__m256i)which);
#else
    vf permuted;
    for (int l = 0; l < CNN_LANES; l++) permuted[l] = v[which[l]];
    return permuted;
#endif
}

/* The sum of all lanes: the upper half is added to the lower one, as long as there is one. */
static inline float v_sum(vf v) {
#if defined(__x86_64__)
#if defined(__AVX512F__)
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
#elif defined(__AVX__)
    __m256 eight = v;
#endif
#if defined(__AVX__)
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
#else
    __m128 four = v;
#endif
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
#else
    float s[CNN_LANES];
    memcpy(s, &v, sizeof v);
    for (int width = CNN_LANES / 2; width > 0; width /= 2)
        for (int i = 0; i < width; i++) s[i] += s[i + width];
    return s[0];
#endif
}

#endif
