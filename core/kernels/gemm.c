/* Matrix products, for dense layers: forward, and both gradients.
 *
 * All arithmetic is a tile of rows × two vectors of sums in registers (12 rows where there are 32 registers): a step
 * multiplies one number of each row of A, broadcast, with two vectors of a panel of B. That is 24 multiply-adds,
 * independent of each other, for 14 loads. A's rows and steps lie at any distances, so that one tile serves A and its
 * transpose.
 *
 * The steps are done in blocks of STEPS. A panel, two vectors wide, of one block is packed once (32 kB with 16 lanes)
 * and stays in the L1 cache while up to ROW_BLOCK rows pass over it; their share of A, read again for every panel, is
 * then at most half of an L2 cache. Packing costs a load and a store for what is then multiplied with every row. Where
 * B is given by columns, it transposes squares of as many vectors as there are lanes, in registers. While one panel is
 * packed, the next is asked for, which the processor's own prefetching would not find across pages; so are the places
 * of a tile's sums while it runs. Few rows do not repay packing: they read B in place, where it lies by rows. Where it
 * is A that is given by columns, and these lie far apart (activations of many samples), each step of a tile would be on
 * another page, and all in the same few lines of the cache; so the rows of a smaller block are packed too, as the tiles
 * read them.
 *
 * An element's sum is one chain through the steps of a block; the blocks' sums are added up in order. No choice of the
 * above changes that, nor where a product is cut into parts by rows and columns. Only a matrix times a single vector,
 * whose lanes would be empty, goes another way: its sums run in lanes and are added across them at the end. */
#include "kernels/nn.h"
#include "kernels/simd.h"

#include <math.h>

#define ALWAYS static inline __attribute__((always_inline))

#if defined(__SANITIZE_ADDRESS__)
#define ROWS 4 /* with a check at every access, more cases take long to compile */
#elif defined(__AVX512F__) || defined(__aarch64__)
#define ROWS 12
#else
#define ROWS 6
#endif

enum {
    PANEL = 2 * CNN_LANES,
    STEPS = 256,
    ROW_BLOCK = 480,
    PACKED_ROWS = 96, /* a multiple of ROWS */
    FEW_ROWS = 36,
    FAR_APART = 1024, /* floats: a page */
    FEW_STEPS = 16
};

static ptrdiff_t least(ptrdiff_t a, ptrdiff_t b) {
    return a < b ? a : b;
}

/* ---- the tile ------------------------------------------------------------------------------------------------ */

/* Sums of one block of steps, over rows of A and one panel. */
typedef struct tiles {
    ptrdiff_t steps, a_row, a_step, panel_step, c_row;
    const float *a, *panel, *bias; /* bias: a whole panel */
    float *c, least;               /* of what is written */
    int columns;
    bool add; /* to what c has */
} tiles;

ALWAYS void finish(int rows, int vectors, bool full, bool add, vf sum[][2], const tiles *t) {
    int tail = t->columns - (vectors - 1) * CNN_LANES;
    vf lowest = v_set1(t->least);
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++) {
        float *c = t->c + r * t->c_row;
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++, c += CNN_LANES) {
            bool whole = full || v < vectors - 1;
            vf value = sum[r][v];
            if (add) value = (whole ? v_load(c) : v_load_n(c, tail)) + value;
            value = v_max(lowest, value); /* lets NaN through */
            if (whole)
                v_store(c, value);
            else
                v_store_n(c, value, tail);
        }
    }
}

/* Inlined with rows and vectors constant: the loops over them disappear. */
ALWAYS void tile(int rows, int vectors, const tiles *t) {
    vf sum[ROWS][2];
    const float *a[ROWS], *panel = t->panel;
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++) {
        a[r] = t->a + r * t->a_row;
        if (t->steps > FEW_STEPS) { /* long enough for them to arrive */
            __builtin_prefetch(t->c + r * t->c_row, 1);
            __builtin_prefetch(t->c + r * t->c_row + (vectors - 1) * CNN_LANES, 1);
        }
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) sum[r][v] = v_load(t->bias + v * CNN_LANES);
    }
    ptrdiff_t a_step = t->a_step, panel_step = t->panel_step, end = t->steps * a_step;
    for (ptrdiff_t at = 0; at != end; at += a_step) {
        vf b[2];
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) b[v] = v_load(panel + v * CNN_LANES);
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++) {
            vf value = v_set1(a[r][at]);
#pragma GCC unroll 2
            for (int v = 0; v < vectors; v++) sum[r][v] = v_fma(value, b[v], sum[r][v]);
        }
        panel += panel_step;
    }
    bool full = t->columns == vectors * CNN_LANES;
    if (t->add)
        full ? finish(rows, vectors, true, true, sum, t) : finish(rows, vectors, false, true, sum, t);
    else
        full ? finish(rows, vectors, true, false, sum, t) : finish(rows, vectors, false, false, sum, t);
}

ALWAYS void by_rows(int rows, int vectors, const tiles *t) {
    /* clang-format off */
    switch (rows) {
    case 1: tile(1, vectors, t); break;
    case 2: tile(2, vectors, t); break;
    case 3: tile(3, vectors, t); break;
    case 4: tile(4, vectors, t); break;
#if ROWS > 4
    case 5: tile(5, vectors, t); break;
    case 6: tile(6, vectors, t); break;
#endif
#if ROWS > 6
    case 7: tile(7, vectors, t); break;
    case 8: tile(8, vectors, t); break;
    case 9: tile(9, vectors, t); break;
    case 10: tile(10, vectors, t); break;
    case 11: tile(11, vectors, t); break;
    case 12: tile(12, vectors, t); break;
#endif
    default: break;
    }
    /* clang-format on */
}

static __attribute__((noinline)) void tile_1(int rows, const tiles *t) {
    by_rows(rows, 1, t);
}

static __attribute__((noinline)) void tile_2(int rows, const tiles *t) {
    by_rows(rows, 2, t);
}

/* ---- packing ------------------------------------------------------------------------------------------------- */

/* A square of as many vectors as lanes is its transpose after log2(lanes) times interleaving its halves. */
ALWAYS void transpose_square(vf m[CNN_LANES]) {
#pragma GCC unroll 4
    for (int stage = 1; stage < CNN_LANES; stage *= 2) {
        vf before[CNN_LANES];
#pragma GCC unroll 16
        for (int i = 0; i < CNN_LANES; i++) before[i] = m[i];
#pragma GCC unroll 8
        for (int i = 0; i < CNN_LANES / 2; i++) {
            vf a = before[i], b = before[i + CNN_LANES / 2];
            m[2 * i] = v_first_halves(a, b);
            m[2 * i + 1] = v_second_halves(a, b);
        }
    }
}

void CNN_KERNEL(transpose_lanes)(const float *from, ptrdiff_t apart, int lanes, ptrdiff_t steps, float *to,
                                 ptrdiff_t to_step) {
    vf m[CNN_LANES];
    for (ptrdiff_t s = 0; s < steps; s += CNN_LANES) {
        int count = (int)least(steps - s, CNN_LANES);
        if (count == CNN_LANES && lanes == CNN_LANES) {
#pragma GCC unroll 16
            for (int l = 0; l < CNN_LANES; l++) {
                m[l] = v_load(from + l * apart + s);
                __builtin_prefetch(from + (PANEL + l) * apart + s, 0, 2);
            }
            transpose_square(m);
#pragma GCC unroll 16
            for (int i = 0; i < CNN_LANES; i++) v_store(to + (s + i) * to_step, m[i]);
            continue;
        }
        for (int l = 0; l < CNN_LANES; l++) {
            m[l] = (vf){0};
            if (l < lanes)
                m[l] =
                    count == CNN_LANES ? v_load(from + l * apart + s) : v_load_n(from + l * apart + s, count);
        }
        transpose_square(m);
        for (int i = 0; i < count; i++) v_store(to + (s + i) * to_step, m[i]);
    }
}

static void pack_in_order(const float *from, ptrdiff_t apart, int lanes, ptrdiff_t steps, float *to,
                          ptrdiff_t to_step) {
    if (lanes == CNN_LANES)
        for (ptrdiff_t s = 0; s < steps; s++) {
            v_store(to + s * to_step, v_load(from + s * apart));
            __builtin_prefetch(from + s * apart + PANEL, 0, 2);
        }
    else
        for (ptrdiff_t s = 0; s < steps; s++) v_store(to + s * to_step, v_load_n(from + s * apart, lanes));
}

/* Columns column … column+columns-1 of steps first … first+steps-1 of B. */
static void pack_panel(const cnn_product *p, ptrdiff_t column, int columns, ptrdiff_t first, ptrdiff_t steps,
                       float *to) {
    const float *from = p->b + first * p->b_step + column * p->b_column;
    ptrdiff_t to_step = columns > CNN_LANES ? PANEL : CNN_LANES;
    for (int v = 0; v < columns; v += CNN_LANES) {
        int lanes = (int)least(columns - v, CNN_LANES);
        if (p->b_column == 1)
            pack_in_order(from + v, p->b_step, lanes, steps, to + v, to_step);
        else
            CNN_KERNEL(transpose_lanes)(from + v * p->b_column, p->b_column, lanes, steps, to + v, to_step);
    }
}

/* Rows of A, given by columns: those of one tile after another, each step's side by side. */
static void pack_rows(const float *from, ptrdiff_t a_step, ptrdiff_t rows, ptrdiff_t steps, float *to) {
    for (ptrdiff_t s = 0; s < steps; s++, from += a_step, to += ROWS) {
        ptrdiff_t r = 0;
        for (; r + ROWS <= rows; r += ROWS) memcpy(to + r * steps, from + r, ROWS * sizeof(float));
        for (ptrdiff_t i = 0; i < rows - r; i++) to[r * steps + i] = from[r + i];
    }
}

/* ---- the product --------------------------------------------------------------------------------------------- */

static bool packs_rows(const cnn_product *p) {
    return p->a_row == 1 && p->a_step >= FAR_APART && p->steps > FEW_STEPS && p->rows >= ROWS;
}

static size_t panel_floats(const cnn_product *p) {
    return (size_t)(p->steps < STEPS ? p->steps : STEPS) * PANEL;
}

size_t CNN_KERNEL(product_scratch)(const cnn_product *p) {
    size_t rows = packs_rows(p) ? (size_t)(p->steps < STEPS ? p->steps : STEPS) * PACKED_ROWS : 0;
    return (panel_floats(p) + rows) * sizeof(float);
}

/* All rows of a block over one panel; `packed` is theirs, or NULL. */
static void run_tiles(const cnn_product *p, ptrdiff_t rows, const float *packed, tiles *t) {
    float *c = t->c;
    const float *a = t->a;
    for (ptrdiff_t left = rows, count = (rows + ROWS - 1) / ROWS; count > 0; count--) {
        int n = packed ? (int)least(left, ROWS) : (int)((left + count - 1) / count); /* as equal as can be */
        t->a = packed ? packed + (rows - left) * t->steps : a + (rows - left) * p->a_row;
        t->c = c + (rows - left) * p->c_row;
        (t->columns > CNN_LANES ? tile_2 : tile_1)(n, t);
        left -= n;
    }
}

/* One block of steps for one block of rows: over all columns. */
static void run_block(const cnn_product *p, ptrdiff_t row, ptrdiff_t rows, ptrdiff_t first, ptrdiff_t steps,
                      float *panel) {
    float bias[PANEL] = {0}, *packed = packs_rows(p) ? panel + panel_floats(p) : NULL;
    const float *a = p->a + row * p->a_row + first * p->a_step;
    bool in_place = p->b_column == 1 && p->rows <= FEW_ROWS;
    if (packed) pack_rows(a, p->a_step, rows, steps, packed);
    for (ptrdiff_t column = 0; column < p->columns; column += PANEL) {
        int columns = (int)least(p->columns - column, PANEL);
        tiles t = {.steps = steps,
                   .a = a,
                   .a_row = packed ? 1 : p->a_row,
                   .a_step = packed ? ROWS : p->a_step,
                   .panel = panel,
                   .panel_step = columns > CNN_LANES ? PANEL : CNN_LANES,
                   .bias = bias,
                   .c = p->c + row * p->c_row + column,
                   .c_row = p->c_row,
                   .columns = columns,
                   .add = p->add || first > 0,
                   .least = p->relu && first + steps == p->steps ? 0 : -INFINITY};
        if (p->bias && first == 0) memcpy(bias, p->bias + column, (size_t)columns * sizeof(float));
        if (in_place && columns % CNN_LANES == 0) {
            t.panel = p->b + first * p->b_step + column;
            t.panel_step = p->b_step;
        } else {
            pack_panel(p, column, columns, first, steps, panel);
        }
        run_tiles(p, rows, packed, &t);
    }
}

/* ---- times a vector ------------------------------------------------------------------------------------------ */

/* Four rows at once wait less for each other's additions; each row's sums are the same as alone. */
ALWAYS void dot(int rows, const cnn_product *p, ptrdiff_t row) {
    vf sum[4][2] = {0};
    const float *a = p->a + row * p->a_row, *b = p->b;
    ptrdiff_t s = 0;
    for (; s + PANEL <= p->steps; s += PANEL)
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < 2; v++)
                sum[r][v] = v_fma(v_load(a + r * p->a_row + s + v * CNN_LANES), v_load(b + s + v * CNN_LANES),
                                  sum[r][v]);
    for (; s < p->steps; s += CNN_LANES) {
        int count = (int)least(p->steps - s, CNN_LANES);
        for (int r = 0; r < rows; r++) {
            const float *x = a + r * p->a_row + s;
            vf value = count < CNN_LANES ? v_load_n(x, count) : v_load(x);
            sum[r][0] = v_fma(value, count < CNN_LANES ? v_load_n(b + s, count) : v_load(b + s), sum[r][0]);
        }
    }
    for (int r = 0; r < rows; r++) {
        float *c = p->c + (row + r) * p->c_row, value = v_sum(sum[r][0] + sum[r][1]);
        if (p->bias) value += *p->bias;
        if (p->add) value += *c;
        *c = p->relu && value < 0 ? 0 : value;
    }
}

static void dots(const cnn_product *p) {
    ptrdiff_t row = 0;
    for (; row + 4 <= p->rows; row += 4) dot(4, p, row);
    for (; row < p->rows; row++) dot(1, p, row);
}

/* -------------------------------------------------------------------------------------------------------------- */

void CNN_KERNEL(product)(const cnn_product *p, void *scratch) {
    /* c_row tells that there is one column in all: a part's bits must be those of the whole */
    if (p->columns == 1 && p->c_row == 1 && p->a_step == 1 && p->b_step == 1) {
        dots(p);
        return;
    }
    cnn_product turned = *p; /* one column as one row */
    if (p->columns == 1 && p->a_row == 1 && p->c_row == 1 && !p->bias) {
        turned.rows = 1, turned.columns = p->rows;
        turned.a = p->b, turned.a_row = 1, turned.a_step = p->b_step;
        turned.b = p->a, turned.b_step = p->a_step, turned.b_column = 1;
        p = &turned;
    }
    ptrdiff_t row_block = packs_rows(p) ? PACKED_ROWS : ROW_BLOCK, first = 0;
    do {
        ptrdiff_t steps = least(p->steps - first, STEPS);
        for (ptrdiff_t row = 0; row < p->rows; row += row_block)
            run_block(p, row, least(p->rows - row, row_block), first, steps, scratch);
        first += steps;
    } while (first < p->steps);
}

void CNN_KERNEL(transpose)(const float *x, int64_t rows, int64_t columns, float *y) {
    int64_t r = 0;
    for (; r + CNN_LANES <= rows; r += CNN_LANES)
        CNN_KERNEL(transpose_lanes)(x + r * columns, columns, CNN_LANES, columns, y + r, rows);
    for (; r < rows; r++)
        for (int64_t i = 0; i < columns; i++) y[i * rows + r] = x[r * columns + i];
}
