#include "base/cpu.h"

#include <string.h>
#include <time.h>

bool cnn_cpu_has(const char *name) {
    if (strcmp(name, "generic") == 0) return true;
#if defined(__x86_64__)
    /* GCC's check asks the processor and, through XGETBV, the system. */
    __builtin_cpu_init();
    if (strcmp(name, "sse2") == 0) return true;
    bool avx2 =
        __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
    if (strcmp(name, "avx2") == 0) return avx2;
    if (strcmp(name, "avx512") == 0)
        return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx512cd");
#endif
    return false;
}

double cnn_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
