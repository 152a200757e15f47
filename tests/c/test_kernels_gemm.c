/* The matrix products of dense layers, of every instruction set here: against sums in double precision, for sizes
 * around those of tiles, blocks and vectors; that nothing beside the result is written; that parts and threads change no
 * bit;
 * that what is not a number goes where it must. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cnn.h"
#include "ops/product.h"

static uint32_t random_state = 1;

static float random_float(void) {
    random_state = random_state * 1664525u + 1013904223u;
    return (float)(int32_t)(random_state >> 8) / (float)(1 << 23) - 1;
}

static float *random_floats(int64_t size) {
    float *p = malloc((size_t)(size + 1) * sizeof *p);
    assert_non_null(p);
    for (int64_t i = 0; i < size; i++) p[i] = random_float();
    return p;
}

static const float guard = 12345.25f;

/* Rows of C lie so much further apart than they are long: what is between must stay. */
enum { GAP = 3 };

typedef struct product_case {
    cnn_product p;
    float *a, *b, *bias, *c, *before;
} product_case;

static int64_t c_size(const cnn_product *p) {
    return p->rows * p->c_row;
}

/* a_turned, b_turned: given by columns. */
static void open_case(product_case *k, int64_t rows, int64_t columns, int64_t steps, bool a_turned,
                      bool b_turned) {
    *k = (product_case){.a = random_floats(rows * steps), .b = random_floats(steps * columns)};
    k->bias = random_floats(columns);
    k->p = (cnn_product){.rows = rows, .columns = columns, .steps = steps, .a = k->a, .b = k->b};
    k->p.a_row = a_turned ? 1 : steps;
    k->p.a_step = a_turned ? rows : 1;
    k->p.b_step = b_turned ? 1 : columns;
    k->p.b_column = b_turned ? steps : 1;
    k->p.c_row = columns == 1 ? 1 : columns + GAP;
    k->before = random_floats(c_size(&k->p));
    k->c = random_floats(c_size(&k->p));
    k->p.c = k->c;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = columns; j < k->p.c_row; j++) k->before[i * k->p.c_row + j] = guard;
}

static void close_case(product_case *k) {
    float *all[] = {k->a, k->b, k->bias, k->c, k->before};
    for (int i = 0; i < 5; i++) free(all[i]);
}

static void run(product_case *k) {
    void *scratch = aligned_alloc(64, (cnn_products_scratch(&k->p) + 127) / 64 * 64);
    assert_non_null(scratch);
    memcpy(k->c, k->before, (size_t)c_size(&k->p) * sizeof(float));
    cnn_products(&k->p, 1, scratch);
    free(scratch);
}

static double sum_of(const cnn_product *p, int64_t i, int64_t j, double *size) {
    double sum = 0;
    *size = 0;
    for (int64_t s = 0; s < p->steps; s++) {
        double value =
            (double)p->a[i * p->a_row + s * p->a_step] * (double)p->b[s * p->b_step + j * p->b_column];
        sum += value;
        *size += fabs(value);
    }
    return sum;
}

static void check(const product_case *k) {
    const cnn_product *p = &k->p;
    for (int64_t i = 0; i < p->rows; i++)
        for (int64_t j = 0; j < p->c_row; j++) {
            float before = k->before[i * p->c_row + j], got = p->c[i * p->c_row + j];
            double size, want = before;
            if (j < p->columns) {
                want = sum_of(p, i, j, &size) + (p->bias ? (double)p->bias[j] : 0) +
                       (p->add ? (double)before : 0);
                if (p->relu && want < 0) want = 0;
                if (fabs((double)got - want) <= 1e-6 * (size + 3)) continue;
            } else if (got == guard) {
                continue;
            }
            fail_msg("%dx%dx%d: element %d,%d is %g, not %g", (int)p->rows, (int)p->columns, (int)p->steps,
                     (int)i, (int)j, (double)got, want);
        }
}

static void check_sizes(int64_t rows, int64_t columns, int64_t steps, int flags) {
    product_case k;
    open_case(&k, rows, columns, steps, flags & 1, flags & 2);
    k.p.bias = flags & 4 ? k.bias : NULL;
    k.p.relu = flags & 8;
    k.p.add = flags & 16;
    run(&k);
    check(&k);
    close_case(&k);
}

static void products_are_right(void **state) {
    static const int64_t sizes[] = {1, 2, 7, 12, 16, 31, 33, 64, 97, 200};
    enum { SIZES = sizeof sizes / sizeof *sizes };
    if (cnn_set_cpu(*state) != CNN_OK) skip();
    int flags = 0;
    for (int i = 0; i < SIZES; i++)
        for (int j = 0; j < SIZES; j++)
            for (int s = 0; s < SIZES; s++) {
                if (sizes[i] * sizes[j] * sizes[s] > 1 << 18) continue;
                check_sizes(sizes[i], sizes[j], sizes[s], flags);
                flags = (flags + 7) % 32;
            }
}

/* Several blocks of steps and rows; columns far apart; a single column, in each layout. */
static void large_products_are_right(void **state) {
    static const int64_t sizes[][3] = {{13, 40, 513}, {5, 33, 1031}, {513, 31, 33},  {1100, 10, 31},
                                       {31, 1, 2049}, {1, 70, 300},  {1300, 1, 32},  {500, 5, 7},
                                       {7, 1, 3},     {2, 513, 2},   {1030, 37, 260}};
    if (cnn_set_cpu(*state) != CNN_OK) skip();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int flags = 0; flags < 32;
             flags += flags == 3 ? 21 : 1) /* each layout, plain and with some of the rest */
            check_sizes(sizes[i][0], sizes[i][1], sizes[i][2], flags);
}

static void nothing_to_add_up(void **state) {
    if (cnn_set_cpu(*state) != CNN_OK) skip();
    for (int flags = 0; flags < 32; flags++) {
        check_sizes(5, 7, 0, flags);
        check_sizes(5, 1, 0, flags);
        check_sizes(0, 7, 3, flags);
        check_sizes(4, 0, 3, flags);
    }
}

/* Large enough to be cut. */
static void threads_change_no_bit(void **state) {
    static const int64_t sizes[][3] = {{200, 128, 1000}, {60, 100, 1500}, {2000, 40, 90},
                                       {3, 3000, 700},   {300, 65, 900},  {99, 1, 90000}};
    int threads = cnn_threads();
    if (cnn_set_cpu(*state) != CNN_OK) skip();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int layout = 0; layout < 4; layout++) {
            product_case k;
            open_case(&k, sizes[i][0], sizes[i][1], sizes[i][2], layout & 1, layout & 2);
            k.p.bias = k.bias;
            size_t bytes = (size_t)c_size(&k.p) * sizeof(float);
            float *one = malloc(bytes);
            assert_non_null(one);
            for (int t = 1; t <= 5; t += t == 1 ? 1 : 3) {
                assert_int_equal(cnn_set_threads(t), CNN_OK);
                run(&k);
                if (t == 1) memcpy(one, k.c, bytes);
                assert_memory_equal(one, k.c, bytes);
            }
            free(one);
            close_case(&k);
        }
    assert_int_equal(cnn_set_threads(threads), CNN_OK);
}

/* Two at a time are as one after the other. */
static void products_side_by_side(void **state) {
    if (cnn_set_cpu(*state) != CNN_OK) skip();
    product_case k[2], alone[2];
    size_t bytes = 0;
    for (int i = 0; i < 2; i++) {
        random_state = 7;
        open_case(&k[i], 150 + 700 * i, 400, 60, i, false);
        random_state = 7;
        open_case(&alone[i], 150 + 700 * i, 400, 60, i, false);
        run(&alone[i]);
        bytes += cnn_products_scratch(&k[i].p);
    }
    void *scratch = aligned_alloc(64, bytes);
    assert_non_null(scratch);
    cnn_products((cnn_product[]){k[0].p, k[1].p}, 2, scratch);
    free(scratch);
    for (int i = 0; i < 2; i++) {
        for (int64_t r = 0; r < k[i].p.rows; r++)
            assert_memory_equal(k[i].c + r * k[i].p.c_row, alone[i].c + r * k[i].p.c_row,
                                400 * sizeof(float));
        close_case(&k[i]);
        close_case(&alone[i]);
    }
}

/* A row's result does not depend on the others, nor a column's. */
static void parts_are_as_the_whole(void **state) {
    if (cnn_set_cpu(*state) != CNN_OK) skip();
    for (int layout = 0; layout < 4; layout++) {
        product_case k;
        open_case(&k, 55, 77, 300, layout & 1, layout & 2);
        run(&k);
        float one;
        for (int64_t i = 0; i < 55; i += 3)
            for (int64_t j = 0; j < 75; j += 7) {
                product_case part = k;
                float pair[2];
                part.p.a += i * k.p.a_row;
                part.p.b += j * k.p.b_column;
                part.p.c = part.c = pair;
                part.before = &one;
                part.p.rows = 1, part.p.columns = part.p.c_row = 2;
                if (j % 2) part.p.columns = 1;
                void *scratch = aligned_alloc(64, (cnn_products_scratch(&part.p) + 127) / 64 * 64);
                assert_non_null(scratch);
                cnn_products(&part.p, 1, scratch);
                free(scratch);
                assert_memory_equal(pair, k.c + i * k.p.c_row + j, (size_t)part.p.columns * sizeof *pair);
            }
        close_case(&k);
    }
}

static void fused_instruction_sets_agree(void **state) {
    (void)state;
    product_case k;
    open_case(&k, 50, 90, 700, false, true);
    k.p.bias = k.bias;
    if (cnn_set_cpu("avx512") != CNN_OK) skip();
    run(&k);
    size_t bytes = (size_t)c_size(&k.p) * sizeof(float);
    float *wide = malloc(bytes);
    assert_non_null(wide);
    memcpy(wide, k.c, bytes);
    assert_int_equal(cnn_set_cpu("avx2"), CNN_OK);
    run(&k);
    assert_memory_equal(wide, k.c, bytes);
    free(wide);
    close_case(&k);
}

/* An odd number in A reaches its row, in B its column, and no other element; also through relu, also over zeros. */
static void not_a_number_passes(void **state) {
    if (cnn_set_cpu(*state) != CNN_OK) skip();
    for (int flags = 0; flags < 16; flags++)
        for (int columns = 1; columns < 40; columns += 17) {
            product_case k;
            int64_t row = 17, column = columns - 1, step = 270;
            open_case(&k, 40, columns, 300, flags & 1, flags & 2);
            k.p.relu = flags & 4;
            if (flags & 8) {
                k.a[row * k.p.a_row + step * k.p.a_step] = NAN;
                k.b[step * k.p.b_step + column * k.p.b_column] = 0;
            } else {
                k.b[step * k.p.b_step + column * k.p.b_column] = INFINITY;
                k.a[row * k.p.a_row + step * k.p.a_step] = 0;
            }
            run(&k);
            for (int64_t i = 0; i < 40; i++)
                for (int64_t j = 0; j < columns; j++) {
                    float value = k.c[i * k.p.c_row + j];
                    bool hit = i == row && (flags & 8 || j == column);
                    if (hit) assert_true(isnan(value));
                    if (flags & 8 && !hit) assert_true(isfinite(value));
                    if (!(flags & 8) && j != column) assert_true(isfinite(value));
                    if (!(flags & 8) && j == column && !hit)
                        assert_true(isinf(value) || (value == 0 && flags & 4));
                }
            close_case(&k);
        }
}

static void transposes(void **state) {
    if (cnn_set_cpu(*state) != CNN_OK) skip();
    for (int64_t rows = 1; rows < 40; rows += 5)
        for (int64_t columns = 1; columns < 40; columns += 4) {
            float *x = random_floats(rows * columns), *y = random_floats(rows * columns);
            y[rows * columns] = guard;
            cnn_kernel()->transpose(x, rows, columns, y);
            for (int64_t i = 0; i < rows * columns; i++)
                assert_true(y[i % columns * rows + i / columns] == x[i]);
            assert_true(y[rows * columns] == guard);
            free(x);
            free(y);
        }
}

#define ON(isa, test)                                                                                        \
    { #test " on " #isa, test, NULL, NULL, #isa }
#define ON_ALL(test) ON(generic, test), ON(sse2, test), ON(avx2, test), ON(avx512, test)

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_ALL(products_are_right),
        ON_ALL(large_products_are_right),
        ON_ALL(nothing_to_add_up),
        ON_ALL(threads_change_no_bit),
        ON_ALL(parts_are_as_the_whole),
        ON_ALL(products_side_by_side),
        cmocka_unit_test(fused_instruction_sets_agree),
        ON_ALL(not_a_number_passes),
        ON_ALL(transposes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
