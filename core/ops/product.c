/* Matrix products on several threads; see product.h. */
#include "ops/product.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "cnn.h"

/* A part should be worth the microseconds that waking a thread takes, and each has scratch of its own. Rows and columns
 * are cut at multiples of these. */
enum { MOST_PARTS = 16, WORTHWHILE = 2000000, ROWS = 4, COLUMNS = 32 };

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* At least one: even nothing is a part. */
static int64_t units_of(int64_t size, int64_t unit) {
    return size > unit ? (size + unit - 1) / unit : 1;
}

static double work_of(const cnn_product *p) {
    return (double)p->rows * (double)p->columns * (double)p->steps;
}

/* A power of two, so that threads, mostly as many, get equal shares. */
static int most_parts(const cnn_product *p) {
    int parts = 1;
    while (parts < MOST_PARTS && work_of(p) >= 2.0 * parts * WORTHWHILE) parts *= 2;
    return parts;
}

static size_t scratch_of_part(const cnn_product *p) {
    return CNN_ROUND_UP(cnn_kernel()->product_scratch(p), CNN_ALIGN);
}

size_t cnn_products_scratch(const cnn_product *p) {
    return (size_t)most_parts(p) * scratch_of_part(p);
}

/* A product and how it is cut: into so many parts down and across. */
typedef struct split {
    cnn_product product;
    int64_t down, across;
    char *scratch;
    size_t stride;
} split;

static int64_t at_part(int64_t size, int64_t unit, int64_t part, int64_t parts) {
    return least(units_of(size, unit) * part / parts * unit, size);
}

/* What the largest of so many parts takes: its multiply-adds, in whole vectors, and the reading of its share of A and
 * B, which for each number takes about as long as so many multiply-adds. */
static int64_t cost(const cnn_product *p, int64_t down, int64_t across) {
    enum { READ = 8, LANES = 16 };
    int64_t rows = least(units_of(units_of(p->rows, ROWS), down) * ROWS, p->rows);
    int64_t columns = least(units_of(units_of(p->columns, COLUMNS), across) * COLUMNS, p->columns);
    return rows * units_of(columns, LANES) * LANES + READ * (rows + columns);
}

/* As no bit depends on it, there are no more parts than keep the threads busy to the end: each packs its own of B. */
static void cut(split *s) {
    const cnn_product *p = &s->product;
    int64_t parts = most_parts(p), threads = cnn_in_parallel() ? 1 : cnn_threads();
    while (parts > 1 && (threads == 1 || parts >= 4 * threads)) parts /= 2;
    s->down = parts;
    s->across = 1;
    for (int64_t down = parts; down > 0; down /= 2)
        if (cost(p, down, parts / down) < cost(p, s->down, s->across))
            s->down = down, s->across = parts / down;
}

static void run_part(const split *s, int64_t part) {
    cnn_product p = s->product;
    int64_t down = part / s->across, across = part % s->across;
    int64_t row = at_part(p.rows, ROWS, down, s->down),
            column = at_part(p.columns, COLUMNS, across, s->across);
    p.rows = at_part(p.rows, ROWS, down + 1, s->down) - row;
    p.columns = at_part(p.columns, COLUMNS, across + 1, s->across) - column;
    p.a += row * p.a_row;
    p.b += column * p.b_column;
    p.c += row * p.c_row + column;
    if (p.bias) p.bias += column;
    cnn_kernel()->product(&p, s->scratch + (size_t)part * s->stride);
}

typedef struct job {
    split splits[CNN_MAX_PRODUCTS];
} job;

static void run_task(void *context, int64_t task, int thread) {
    const split *s = ((const job *)context)->splits;
    (void)thread;
    for (; task >= s->down * s->across; s++) task -= s->down * s->across;
    run_part(s, task);
}

void cnn_products(const cnn_product *p, int count, void *scratch) {
    job j;
    int64_t tasks = 0;
    double work = 0;
    char *at = scratch;
    for (int i = 0; i < count; i++) {
        split *s = &j.splits[i];
        *s = (split){.product = p[i], .scratch = at, .stride = scratch_of_part(&p[i])};
        cut(s);
        tasks += s->down * s->across;
        work += work_of(&p[i]);
        at += cnn_products_scratch(&p[i]);
    }
    if (work < 2 * WORTHWHILE)
        for (int64_t i = 0; i < tasks; i++) run_task(&j, i, 0);
    else
        cnn_parallel(tasks, run_task, &j);
}
