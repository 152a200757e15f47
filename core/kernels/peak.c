/* What this instruction set's multiply-adds can do at most: as many independent chains as hide their latency
 * and fit the registers, and nothing else. Speeds of other kernels are told as a share of it. */
#include "kernels/peak.h"

float CNN_KERNEL(peak)(int64_t rounds) {
    vf sum[PEAK_CHAINS], scale = v_set1(0.5f), step = v_set1((float)(rounds & 1) + 0.25f);
#pragma GCC unroll 24
    for (int c = 0; c < PEAK_CHAINS; c++) sum[c] = v_set1((float)c);
    for (int64_t i = 0; i < rounds; i++) {
#pragma GCC unroll 24
        for (int c = 0; c < PEAK_CHAINS; c++) sum[c] = v_fma(sum[c], scale, step);
    }
    vf total = {0};
#pragma GCC unroll 24
    for (int c = 0; c < PEAK_CHAINS; c++) total += sum[c];
    return v_sum(total);
}
