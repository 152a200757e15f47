/* Which instruction set's kernels run: the best this processor and its system support, or the one forced by
 * CNNLUA_CPU or cnn_set_cpu. */
#include "kernels/kernels.h"
#include "base/cpu.h"
#include "base/status.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
extern const cnn_kernels cnn_kernels_sse2, cnn_kernels_avx2, cnn_kernels_avx512;
static const cnn_kernels *const tables[] = {&cnn_kernels_avx512, &cnn_kernels_avx2, &cnn_kernels_sse2};
#else
extern const cnn_kernels cnn_kernels_generic;
static const cnn_kernels *const tables[] = {&cnn_kernels_generic};
#endif

enum { TABLE_COUNT = sizeof tables / sizeof *tables };

static _Atomic(const cnn_kernels *) chosen;

static const cnn_kernels *find(const char *name) {
    for (int i = 0; i < TABLE_COUNT; i++)
        if (strcmp(tables[i]->isa, name) == 0 && cnn_cpu_has(name)) return tables[i];
    return NULL;
}

const cnn_kernels *cnn_kernel(void) {
    const cnn_kernels *table = chosen;
    if (table) return table;
    const char *forced = getenv("CNNLUA_CPU");
    if (forced) table = find(forced);
    for (int i = 0; !table && i < TABLE_COUNT; i++)
        if (cnn_cpu_has(tables[i]->isa)) table = tables[i];
    chosen = table;
    return table;
}

const char *cnn_cpu(void) {
    return cnn_kernel()->isa;
}

cnn_status cnn_set_cpu(const char *name) {
    const cnn_kernels *table = find(name);
    if (!table)
        return cnn_fail(CNN_ERROR_ARGUMENT,
                        "set_cpu: '%s' is not an instruction set of this processor and build (now '%s')",
                        name, cnn_cpu());
    chosen = table;
    return CNN_OK;
}
