/* What this processor, and the system on it, can run. */
#ifndef CNN_BASE_CPU_H
#define CNN_BASE_CPU_H

#include <stdbool.h>

/* name: "avx512" (F, BW, DQ, VL), "avx2" (with FMA and F16C), "sse2" or "generic". */
bool cnn_cpu_has(const char *name);

/* On a clock that never goes back. */
double cnn_seconds(void);

#endif
