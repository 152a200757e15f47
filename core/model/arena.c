/* Offsets in one block of memory for things with known sizes and lifetimes. Greedy by size: the largest first, each
 * at the lowest offset where it meets nothing that lives at the same time. Optimal allocation is NP-hard; this one
 * is within a few per cent on networks' lifetimes, which nest (Pisarchyk & Lee 2020). */
#include "model/plan_types.h"
#include "base/memory.h"

#include <stdlib.h>

static int larger_first(const void *a, const void *b) {
    const span *x = *(span *const *)a, *y = *(span *const *)b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    return x < y ? -1 : 1;
}

/* Inserts s into the list of placed spans, which is kept in the order of offsets. */
static void insert(span **placed, int count, span *s) {
    int i = count;
    for (; i > 0 && placed[i - 1]->offset > s->offset; i--) placed[i] = placed[i - 1];
    placed[i] = s;
}

static size_t lowest_gap(span *const *placed, int count, const span *s) {
    size_t offset = 0;
    for (int i = 0; i < count; i++) {
        const span *p = placed[i];
        if (p->last < s->first || p->first > s->last) continue;
        if (p->offset >= offset + s->bytes) break;
        if (p->offset + p->bytes > offset) offset = p->offset + p->bytes;
    }
    return offset;
}

size_t cnn_arena_plan(span *spans, int count) {
    span **order = cnn_malloc((size_t)count * sizeof *order),
         **placed = cnn_malloc((size_t)count * sizeof *placed);
    size_t total = order && placed ? 0 : SIZE_MAX;
    if (total == 0) {
        for (int i = 0; i < count; i++) {
            spans[i].bytes = CNN_ROUND_UP(spans[i].bytes, CNN_ALIGN);
            order[i] = &spans[i];
        }
        qsort(order, (size_t)count, sizeof *order, larger_first);
        for (int i = 0; i < count; i++) {
            order[i]->offset = lowest_gap(placed, i, order[i]);
            insert(placed, i, order[i]);
            if (order[i]->offset + order[i]->bytes > total) total = order[i]->offset + order[i]->bytes;
        }
    }
    cnn_free(order);
    cnn_free(placed);
    return total;
}
