/* Convolutions cut into pieces for several threads: on every instruction set here, the bits of all passes are
 * those of the kernels called once, and no more scratch is used than was asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "cnn.h"
#include "ops/conv_split.h"

enum { GUARD = 64, THREADS = 4 };

typedef struct shape {
    cnn_conv c;
    int pool, n;
} shape;

/* in h, w, c; out h, w, c; kernel; stride; dilation; padding; groups */
static const shape shapes[] = {
    {{33, 30, 32, 33, 30, 64, 3, 3, 1, 1, 1, 1, 1, 1, 1, 0, 0}, 1, 1},
    {{33, 30, 32, 30, 28, 64, 3, 3, 1, 1, 1, 1, 0, 0, 1, 0, 0}, 2, 2},
    {{45, 31, 40, 45, 30, 64, 3, 3, 1, 1, 1, 1, 1, 1, 1, 0, 0}, 3, 1},
    {{60, 61, 3, 60, 61, 64, 5, 5, 1, 1, 1, 1, 2, 2, 1, 0, 0}, 3, 1},
    {{61, 60, 33, 31, 30, 50, 3, 3, 2, 2, 1, 1, 1, 1, 1, 0, 0}, 1, 2},
    {{40, 40, 64, 40, 40, 3, 3, 3, 1, 1, 1, 1, 1, 1, 1, 0, 0}, 1, 1},
    {{40, 41, 32, 40, 41, 48, 3, 3, 1, 1, 2, 2, 2, 2, 2, 0, 0}, 1, 1},
    {{120, 110, 40, 120, 110, 40, 3, 3, 1, 1, 1, 1, 1, 1, 40, 0, 0}, 1, 1},
    {{7, 7, 200, 7, 7, 220, 3, 3, 1, 1, 1, 1, 1, 1, 1, 0, 0}, 1, 3},
    {{14, 14, 200, 14, 14, 220, 1, 1, 1, 1, 1, 1, 0, 0, 1, 0, 0}, 1, 1},
    {{5, 5, 256, 3, 3, 256, 3, 3, 1, 1, 1, 1, 0, 0, 1, 0, 0}, 1, 1},
    {{1, 1, 1500, 1, 1, 3000, 1, 1, 1, 1, 1, 1, 0, 0, 1, 0, 0}, 1, 1},
};

static float *make_floats(size_t count, int random) {
    float *p = aligned_alloc(64, (count + GUARD) * sizeof(float) / 64 * 64 + 128);
    assert_non_null(p);
    for (size_t i = 0; i < count; i++) p[i] = random ? (float)rand() / (float)RAND_MAX - 0.5f : 0;
    return p;
}

/* Scratch full of NaN, and after it bytes that must stay. */
static char *make_scratch(size_t bytes) {
    char *p = aligned_alloc(64, (bytes + GUARD + 63) / 64 * 64);
    assert_non_null(p);
    memset(p, 0xff, bytes);
    memset(p + bytes, 0x5a, GUARD);
    return p;
}

static void check_scratch(const char *p, size_t bytes) {
    for (int i = 0; i < GUARD; i++) assert_int_equal(p[bytes + (size_t)i], 0x5a);
}

static void check_shape(const shape *s) {
    const cnn_kernels *k = cnn_kernel();
    const cnn_conv *c = &s->c;
    size_t n = (size_t)s->n, taps = (size_t)(c->kernel_h * c->kernel_w);
    size_t xs = n * (size_t)(c->in_h * c->in_w * c->in_c), ys = n * (size_t)(c->out_h * c->out_w * c->out_c);
    size_t ws = taps * (size_t)(c->in_c / c->groups * c->out_c), bs = (size_t)c->out_c;
    float *x = make_floats(xs, 1), *w = make_floats(ws, 1), *b = make_floats(bs, 1), *dy = make_floats(ys, 1);
    float *packed = make_floats(k->conv_packed_size(c), 0),
          *packed_grad = make_floats(k->conv_packed_grad_size(c), 0);
    k->conv_pack(c, w, packed);
    k->conv_pack_grad(c, w, packed_grad);
    cnn_conv_epilogue e = {b, true, s->pool, s->pool};
    size_t bytes = k->conv_scratch(c, &e), split_bytes = cnn_conv_scratch(c, &e, s->n);
    assert_true(split_bytes >= bytes);
    char *scratch = make_scratch(bytes), *split = make_scratch(split_bytes);
    float *want[] = {make_floats(ys, 0), make_floats(xs, 0), make_floats(ws, 0), make_floats(bs, 0)};
    float *got[] = {make_floats(ys, 0), make_floats(xs, 0), make_floats(ws, 0), make_floats(bs, 0)};
    uint8_t *places[] = {calloc(ys, 1), calloc(ys, 1)};

    k->conv_forward(c, s->n, x, packed, &e, want[0], places[0], scratch);
    k->conv_grad_input(c, s->n, dy, packed_grad, want[1], scratch);
    k->conv_grad_weights(c, s->n, x, dy, want[2], want[3], scratch);
    cnn_conv_forward(c, s->n, x, packed, &e, got[0], places[1], split);
    cnn_conv_grad_input(c, s->n, dy, packed_grad, got[1], split);
    cnn_conv_grad_weights(c, s->n, x, dy, got[2], got[3], split);
    check_scratch(split, split_bytes);
    assert_memory_equal(want[0], got[0], ys * sizeof(float));
    assert_memory_equal(places[0], places[1], ys);
    assert_memory_equal(want[1], got[1], xs * sizeof(float));
    assert_memory_equal(want[2], got[2], ws * sizeof(float));
    assert_memory_equal(want[3], got[3], bs * sizeof(float));

    void *all[] = {x, w, b, dy, packed, packed_grad, scratch, split, places[0], places[1]};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    for (int i = 0; i < 4; i++) free(want[i]), free(got[i]);
}

static void test_pieces_are_the_whole(void **state) {
    if (cnn_set_cpu(*state) != CNN_OK) skip();
    assert_int_equal(cnn_set_threads(THREADS), CNN_OK);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        shape s = shapes[i];
        check_shape(&s);
        s.c.once = s.n; /* which may go another way */
        check_shape(&s);
    }
}

int main(void) {
    static char avx512[] = "avx512", avx2[] = "avx2", sse2[] = "sse2", generic[] = "generic";
    const struct CMUnitTest tests[] = {
        {"pieces are the whole, avx512", test_pieces_are_the_whole, NULL, NULL, avx512},
        {"pieces are the whole, avx2", test_pieces_are_the_whole, NULL, NULL, avx2},
        {"pieces are the whole, sse2", test_pieces_are_the_whole, NULL, NULL, sse2},
        {"pieces are the whole, generic", test_pieces_are_the_whole, NULL, NULL, generic},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
