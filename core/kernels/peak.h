/* How fast multiply-adds go when nothing holds them up. */
#ifndef CNN_KERNELS_PEAK_H
#define CNN_KERNELS_PEAK_H

#include "kernels/kernels.h"
#include "kernels/simd.h"

/* Independent chains of multiply-adds: enough to hide their latency, few enough to stay in the registers. */
#if defined(__AVX512F__) || defined(__aarch64__)
enum { PEAK_CHAINS = 24 };
#else
enum { PEAK_CHAINS = 12 };
#endif
enum { PEAK_FLOPS_PER_ROUND = 2 * PEAK_CHAINS * CNN_LANES };

float CNN_KERNEL(peak)(int64_t rounds);

#endif
