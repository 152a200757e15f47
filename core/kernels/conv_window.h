/* One vector of a window of max pooling, wherever its values lie: the largest so far with its place, and what is written
 * in the end. The first of equals wins; a NaN wins over all, and stays. */
#ifndef CNN_KERNELS_CONV_WINDOW_H
#define CNN_KERNELS_CONV_WINDOW_H

#include "kernels/simd.h"

#include <stdbool.h>

typedef uint8_t conv_bytes __attribute__((vector_size(CNN_LANES)));

enum { CONV_CLIPPED = 255 };

/* Places, all lanes or the first n; the others are 0. */
static inline __attribute__((always_inline)) vi conv_window_places(const uint8_t *index, bool full, int n) {
    conv_bytes bytes = {0};
    if (full)
        memcpy(&bytes, index, sizeof bytes);
    else
#if defined(__AVX512BW__)
        bytes = (conv_bytes)_mm_maskz_loadu_epi8((__mmask16)((1u << n) - 1), index);
#else
        for (int i = 0; i < n; i++) bytes[i] = index[i];
#endif
    return __builtin_convertvector(bytes, vi);
}

static inline __attribute__((always_inline)) void conv_window_take(vf value, int place, vf *best, vi *at) {
#if defined(__AVX512F__) /* which has masks of its own kind */
    __mmask16 take =
        _mm512_cmp_ps_mask(value, *best, _CMP_GT_OQ) | _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
    *best = _mm512_mask_mov_ps(*best, take, value);
    *at = (vi)_mm512_mask_mov_epi32((__m512i)*at, take, _mm512_set1_epi32(place));
#else
    vi take = (value > *best) | (value != value);
    *best = v_select(take, value, *best);
    *at = (vi)v_select(take, (vf)(*at * 0 + place), (vf)*at);
#endif
}

/* `full` or the first n channels of the maximum, through relu if wanted, and of its place if index is not NULL. */
static inline __attribute__((always_inline)) void conv_window_store(vf best, vi at, bool relu, bool full,
                                                                    int n, float *y, uint8_t *index) {
    if (relu) {
#if defined(__AVX512F__)
        __mmask16 clipped = _mm512_cmp_ps_mask(best, _mm512_setzero_ps(), _CMP_LE_OQ);
        at = (vi)_mm512_mask_mov_epi32((__m512i)at, clipped, _mm512_set1_epi32(CONV_CLIPPED));
#else
        at |= (best <= (vf){0}) & CONV_CLIPPED;
#endif
        best = v_max((vf){0}, best);
    }
    full ? v_store(y, best) : v_store_n(y, best, n);
    if (!index) return;
    conv_bytes bytes = __builtin_convertvector(at, conv_bytes);
    if (full)
        memcpy(index, &bytes, sizeof bytes);
    else
        for (int i = 0; i < n; i++) index[i] = bytes[i];
}

#endif
