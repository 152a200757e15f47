/* The convolution kernels of every instruction set here against sums in double precision, over shapes chosen
 * for their oddities: what is held is that every pass is right for every shape, that nothing beyond an output
 * is written, that index bytes are those of the maxima, and that a sample's result does not depend on how
 * many are computed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cnn.h"
#include "kernels/kernels.h"

enum { GUARD = 64 };
static const float guard_value = 12345.25f;

/* ---- arrays with guard zones --------------------------------------------------------------------------- */

/* 64-byte aligned; before and after lie GUARD floats that must stay what they are. */
typedef struct array {
    float *data;
    size_t size;
    float *block;
} array;

static array make_array(size_t size) {
    array a = {.size = size};
    size_t bytes = ((size + 2 * GUARD) * sizeof(float) + 63) / 64 * 64;
    a.block = aligned_alloc(64, bytes);
    assert_non_null(a.block);
    for (size_t i = 0; i < bytes / sizeof(float); i++) a.block[i] = guard_value;
    a.data = a.block + GUARD;
    return a;
}

static void check_guard(const array *a, const char *what) {
    for (size_t i = 0; i < GUARD; i++)
        if (a->block[i] != guard_value || a->data[a->size + i] != guard_value)
            fail_msg("%s: a float beyond the array was written", what);
}

static void free_array(array *a) {
    free(a->block);
}

static uint32_t random_state = 1;

static float random_float(void) {
    random_state = random_state * 1664525u + 1013904223u;
    return (float)(int32_t)(random_state >> 8) / (float)(1 << 23) - 1;
}

static array random_array(size_t size) {
    array a = make_array(size);
    for (size_t i = 0; i < size; i++) a.data[i] = random_float();
    return a;
}

static double *make_doubles(size_t size) {
    double *d = calloc(size ? size : 1, sizeof(double));
    assert_non_null(d);
    return d;
}

/* ---- shapes ---------------------------------------------------------------------------------------------
 */

typedef struct shape {
    int in_h, in_w, in_c, out_c, kernel_h, kernel_w;
    int stride_h, stride_w, dilation_h, dilation_w;
    int top, bottom, left, right, groups, n;
} shape;

static const shape shapes[] = {
    /* the layers that matter */
    {28, 28, 1, 32, 3, 3, 1, 1, 1, 1, 0, 0, 0, 0, 1, 2},
    {26, 26, 32, 64, 3, 3, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1},
    {13, 13, 32, 64, 3, 3, 1, 1, 1, 1, 0, 0, 0, 0, 1, 3},
    {5, 5, 64, 128, 3, 3, 1, 1, 1, 1, 0, 0, 0, 0, 1, 9},
    {28, 28, 1, 10, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2},
    {40, 37, 3, 32, 3, 3, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1},
    {14, 14, 24, 40, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 2},
    {12, 12, 16, 24, 5, 5, 1, 1, 1, 1, 2, 2, 2, 2, 1, 2},
    {10, 10, 8, 33, 7, 7, 1, 1, 1, 1, 3, 3, 3, 3, 1, 1},
    /* sizes of channels */
    {6, 7, 1, 1, 3, 3, 1, 1, 1, 1, 0, 0, 0, 0, 1, 2},
    {6, 7, 5, 3, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2},
    {6, 7, 17, 15, 2, 2, 1, 1, 1, 1, 0, 1, 0, 1, 1, 2},
    {6, 7, 3, 16, 3, 2, 1, 1, 1, 1, 0, 0, 1, 0, 1, 2},
    {6, 7, 31, 47, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1},
    {5, 5, 2, 130, 2, 3, 1, 1, 1, 1, 0, 0, 0, 0, 1, 3},
    {5, 5, 40, 1, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3},
    /* 3×3 with many channels: tiles of 4×4 outputs that fill the picture or do not, several strips */
    {17, 22, 33, 40, 3, 3, 1, 1, 1, 1, 0, 0, 0, 0, 1, 2},
    {10, 7, 20, 51, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 5},
    {6, 6, 70, 24, 3, 3, 1, 1, 1, 1, 2, 2, 2, 2, 1, 7},
    {6, 18, 100, 16, 3, 3, 1, 1, 1, 1, 0, 1, 2, 0, 1, 2},
    {41, 33, 24, 24, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1},
    {8, 9, 32, 32, 3, 3, 1, 1, 1, 1, 7, 3, 0, 6, 1, 2},
    /* one output row, column or pixel */
    {3, 3, 4, 9, 3, 3, 1, 1, 1, 1, 0, 0, 0, 0, 1, 7},
    {1, 1, 19, 21, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 40},
    {1, 9, 4, 5, 1, 3, 1, 1, 1, 1, 0, 0, 0, 0, 1, 3},
    {9, 1, 4, 5, 3, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 3},
    {3, 12, 4, 5, 3, 3, 1, 1, 1, 1, 0, 0, 0, 0, 1, 2},
    {12, 3, 4, 5, 3, 3, 1, 1, 1, 1, 0, 0, 0, 0, 1, 2},
    {2, 2, 7, 6, 5, 5, 1, 1, 1, 1, 2, 2, 2, 2, 1, 4},
    {1, 1, 3, 4, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 5},
    {2, 3, 3, 4, 7, 7, 1, 1, 1, 1, 3, 3, 3, 3, 1, 2},
    /* more padding than a kernel reaches, and on some sides only */
    {4, 5, 3, 4, 1, 1, 1, 1, 1, 1, 1, 2, 2, 1, 1, 2},
    {4, 5, 3, 4, 2, 2, 1, 1, 1, 1, 3, 2, 2, 4, 1, 2},
    {6, 6, 5, 6, 3, 3, 1, 1, 1, 1, 0, 2, 2, 0, 1, 2},
    {6, 6, 5, 6, 3, 3, 1, 1, 1, 1, 2, 0, 0, 1, 1, 2},
    /* strides, some above the kernel or not dividing the picture */
    {11, 11, 5, 20, 3, 3, 2, 2, 1, 1, 0, 0, 0, 0, 1, 2},
    {11, 12, 5, 20, 3, 3, 2, 2, 1, 1, 1, 1, 0, 1, 1, 2},
    {13, 12, 6, 7, 1, 1, 2, 2, 1, 1, 0, 0, 0, 0, 1, 2},
    {13, 12, 6, 7, 2, 2, 3, 3, 1, 1, 0, 0, 0, 0, 1, 2},
    {13, 12, 6, 7, 2, 1, 4, 3, 1, 1, 1, 1, 1, 1, 1, 2},
    {16, 15, 3, 18, 7, 7, 2, 2, 1, 1, 3, 3, 3, 3, 1, 2},
    {16, 15, 3, 8, 5, 3, 1, 3, 1, 1, 2, 2, 1, 1, 1, 2},
    {7, 7, 3, 8, 3, 3, 5, 5, 1, 1, 0, 0, 0, 0, 1, 2},
    /* dilation, also together with strides */
    {12, 12, 5, 9, 3, 3, 1, 1, 2, 2, 0, 0, 0, 0, 1, 2},
    {12, 11, 5, 9, 3, 3, 1, 1, 2, 3, 2, 2, 3, 3, 1, 2},
    {12, 13, 4, 9, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 1, 2},
    {14, 13, 4, 9, 4, 3, 2, 3, 3, 2, 3, 1, 2, 1, 1, 2},
    {14, 13, 4, 9, 3, 4, 4, 6, 6, 4, 6, 6, 6, 6, 1, 2},
    /* groups and depthwise, with multipliers */
    {8, 8, 6, 8, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2},
    {8, 8, 36, 72, 3, 3, 1, 1, 1, 1, 0, 0, 0, 0, 2, 2},
    {8, 9, 12, 6, 3, 3, 2, 2, 1, 1, 1, 1, 1, 1, 3, 2},
    {8, 8, 7, 7, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 7, 2},
    {14, 14, 32, 32, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 32, 2},
    {14, 13, 45, 45, 3, 3, 1, 1, 1, 1, 0, 0, 0, 0, 45, 2},
    {14, 13, 20, 20, 5, 5, 2, 2, 1, 1, 2, 2, 2, 2, 20, 2},
    {9, 9, 5, 15, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 5, 2},
    {9, 9, 18, 36, 3, 3, 2, 1, 1, 2, 1, 1, 1, 1, 18, 2},
    {9, 10, 3, 60, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0, 3, 3},
    /* groups of a few channels, side by side in the lanes */
    {9, 10, 64, 64, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 16, 2},
    {9, 10, 32, 32, 3, 3, 2, 1, 1, 1, 1, 1, 1, 1, 16, 2},
    {7, 8, 128, 128, 3, 2, 1, 2, 1, 1, 0, 0, 0, 0, 16, 2},
    {9, 10, 48, 24, 3, 3, 2, 2, 1, 1, 1, 1, 1, 1, 12, 3},
    {9, 7, 24, 72, 3, 3, 1, 1, 2, 1, 1, 1, 1, 1, 8, 2},
    /* few channels on one side */
    {9, 10, 32, 1, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3},
    {12, 23, 20, 3, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2},
    {12, 11, 70, 2, 5, 3, 2, 2, 1, 1, 2, 2, 1, 1, 1, 2},
    {12, 11, 2, 70, 5, 3, 2, 2, 1, 1, 2, 2, 1, 1, 1, 2},
    {12, 11, 33, 1, 3, 3, 1, 1, 2, 2, 2, 2, 2, 2, 1, 2},
    {14, 13, 1, 33, 3, 1, 1, 2, 2, 1, 2, 2, 0, 0, 1, 2},
    {10, 9, 1, 24, 3, 3, 2, 2, 1, 1, 1, 0, 0, 1, 1, 3},
    {23, 19, 1, 17, 2, 2, 3, 2, 1, 2, 1, 0, 0, 1, 1, 2},
    {30, 29, 3, 64, 7, 7, 2, 2, 1, 1, 3, 3, 3, 3, 1, 1},
    {12, 12, 64, 4, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 3},
    /* depthwise by sliding: every number of columns at once, borders on all sides, each kernel that has a case */
    {12, 37, 19, 19, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 19, 2},
    {9, 40, 16, 16, 5, 5, 1, 1, 1, 1, 2, 2, 2, 2, 16, 2},
    {11, 43, 50, 50, 5, 5, 2, 2, 1, 1, 2, 2, 1, 2, 50, 2},
    {9, 7, 20, 20, 3, 3, 1, 1, 2, 1, 2, 1, 1, 1, 20, 2},
    {7, 3, 17, 17, 5, 5, 1, 1, 1, 1, 2, 2, 2, 2, 17, 2},
    {4, 5, 18, 18, 7, 3, 1, 2, 1, 1, 3, 3, 3, 0, 18, 2},
    {6, 9, 18, 18, 2, 2, 1, 1, 1, 1, 0, 0, 1, 1, 18, 2},
    {6, 9, 34, 34, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 34, 2},
    {3, 36, 18, 18, 4, 5, 1, 1, 1, 1, 1, 1, 4, 4, 18, 2},
    {6, 12, 18, 18, 7, 7, 1, 1, 1, 1, 3, 3, 3, 3, 18, 2},
    /* first layers, of grey pictures and coloured ones */
    {20, 22, 1, 50, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3},
    {9, 30, 2, 19, 3, 3, 1, 1, 1, 1, 0, 2, 1, 0, 1, 2},
    {8, 70, 3, 34, 3, 3, 1, 1, 1, 1, 0, 0, 0, 0, 1, 2},
    /* several strips of rows */
    {50, 40, 3, 17, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2},
    {3, 400, 2, 4, 3, 3, 1, 1, 1, 1, 0, 0, 0, 0, 1, 2},
    {60, 33, 4, 6, 4, 4, 2, 2, 1, 1, 1, 2, 1, 1, 1, 1},
};

enum { SHAPES = sizeof shapes / sizeof *shapes };

static int out_size(int in, int pads, int kernel, int stride, int dilation) {
    return (in + pads - ((kernel - 1) * dilation + 1)) / stride + 1;
}

static cnn_conv conv_of(const shape *s) {
    return (cnn_conv){
        .in_h = s->in_h,
        .in_w = s->in_w,
        .in_c = s->in_c,
        .out_h = out_size(s->in_h, s->top + s->bottom, s->kernel_h, s->stride_h, s->dilation_h),
        .out_w = out_size(s->in_w, s->left + s->right, s->kernel_w, s->stride_w, s->dilation_w),
        .out_c = s->out_c,
        .kernel_h = s->kernel_h,
        .kernel_w = s->kernel_w,
        .stride_h = s->stride_h,
        .stride_w = s->stride_w,
        .dilation_h = s->dilation_h,
        .dilation_w = s->dilation_w,
        .pad_top = s->top,
        .pad_left = s->left,
        .groups = s->groups,
    };
}

/* ---- one convolution by its definition ------------------------------------------------------------------
 */

typedef struct sizes {
    size_t x, y, w;
} sizes;

static sizes sizes_of(const cnn_conv *c) {
    return (sizes){
        .x = (size_t)c->in_h * (size_t)c->in_w * (size_t)c->in_c,
        .y = (size_t)c->out_h * (size_t)c->out_w * (size_t)c->out_c,
        .w = (size_t)c->kernel_h * (size_t)c->kernel_w * (size_t)(c->in_c / c->groups) * (size_t)c->out_c,
    };
}

/* Calls f for each product of the convolution: y[iy] += x[ix] · w[iw]. */
typedef void product(void *context, size_t iy, size_t ix, size_t iw);

static void each_pixel_product(const cnn_conv *c, int oh, int ow, int ih, int iw, int tap, product *f,
                               void *context) {
    int in = c->in_c / c->groups, out = c->out_c / c->groups;
    for (int o = 0; o < c->out_c; o++)
        for (int i = 0; i < in; i++)
            f(context, ((size_t)oh * (size_t)c->out_w + (size_t)ow) * (size_t)c->out_c + (size_t)o,
              ((size_t)ih * (size_t)c->in_w + (size_t)iw) * (size_t)c->in_c + (size_t)(o / out * in + i),
              ((size_t)tap * (size_t)in + (size_t)i) * (size_t)c->out_c + (size_t)o);
}

static void each_product(const cnn_conv *c, product *f, void *context) {
    for (int oh = 0; oh < c->out_h; oh++)
        for (int ow = 0; ow < c->out_w; ow++)
            for (int kh = 0; kh < c->kernel_h; kh++)
                for (int kw = 0; kw < c->kernel_w; kw++) {
                    int ih = oh * c->stride_h + kh * c->dilation_h - c->pad_top;
                    int iw = ow * c->stride_w + kw * c->dilation_w - c->pad_left;
                    if (ih < 0 || ih >= c->in_h || iw < 0 || iw >= c->in_w) continue;
                    each_pixel_product(c, oh, ow, ih, iw, kh * c->kernel_w + kw, f, context);
                }
}

typedef struct triple {
    const float *x, *w, *dy;
    double *y, *dx, *dw;
} triple;

static void add_product(void *context, size_t iy, size_t ix, size_t iw) {
    triple *t = context;
    t->y[iy] += (double)t->x[ix] * (double)t->w[iw];
    t->dx[ix] += (double)t->dy[iy] * (double)t->w[iw];
    t->dw[iw] += (double)t->dy[iy] * (double)t->x[ix];
}

/* ---- what a test works on --------------------------------------------------------------------------------
 */

typedef struct fixture {
    shape s;
    cnn_conv c;
    sizes size;
    array x, w, bias, dy, packed, packed_grad;
    double *y, *dx, *dw, *db; /* of n samples; y without bias */
} fixture;

static void open_fixture(fixture *f, const shape *s) {
    f->s = *s;
    f->c = conv_of(s);
    f->size = sizes_of(&f->c);
    size_t n = (size_t)s->n;
    f->x = random_array(n * f->size.x);
    f->dy = random_array(n * f->size.y);
    f->w = random_array(f->size.w);
    f->bias = random_array((size_t)s->out_c);
    f->y = make_doubles(n * f->size.y);
    f->dx = make_doubles(n * f->size.x);
    f->dw = make_doubles(f->size.w);
    f->db = make_doubles((size_t)s->out_c);
    for (size_t i = 0; i < n; i++) {
        triple t = {f->x.data + i * f->size.x, f->w.data, f->dy.data + i * f->size.y, f->y + i * f->size.y,
                    f->dx + i * f->size.x,     f->dw};
        each_product(&f->c, add_product, &t);
    }
    for (size_t i = 0; i < n * f->size.y; i++) f->db[i % (size_t)s->out_c] += (double)f->dy.data[i];
    const cnn_kernels *k = cnn_kernel();
    f->packed = make_array(k->conv_packed_size(&f->c));
    f->packed_grad = make_array(k->conv_packed_grad_size(&f->c));
    k->conv_pack(&f->c, f->w.data, f->packed.data);
    k->conv_pack_grad(&f->c, f->w.data, f->packed_grad.data);
    check_guard(&f->packed, "conv_pack");
    check_guard(&f->packed_grad, "conv_pack_grad");
}

static void close_fixture(fixture *f) {
    array *arrays[] = {&f->x, &f->w, &f->bias, &f->dy, &f->packed, &f->packed_grad};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) free_array(arrays[i]);
    double *doubles[] = {f->y, f->dx, f->dw, f->db};
    for (size_t i = 0; i < sizeof doubles / sizeof *doubles; i++) free(doubles[i]);
}

/* Scratch full of NaN: what is read before it is written shows. */
static array make_scratch(const fixture *f, const cnn_conv_epilogue *e) {
    size_t bytes = cnn_kernel()->conv_scratch(&f->c, e);
    array a = make_array((bytes + 3) / 4);
    memset(a.data, 0xff, a.size * sizeof(float));
    return a;
}

static void name_shape(const fixture *f, char *text, size_t size) {
    const shape *s = &f->s;
    snprintf(
        text, size, "%s %dx%dx%d->%d kernel %dx%d stride %d,%d dilation %d,%d pad %d,%d,%d,%d groups %d n %d",
        cnn_cpu(), s->in_h, s->in_w, s->in_c, s->out_c, s->kernel_h, s->kernel_w, s->stride_h, s->stride_w,
        s->dilation_h, s->dilation_w, s->top, s->bottom, s->left, s->right, s->groups, s->n);
}

/* Winograd's transforms may take shapes like this one. */
static bool may_be_transformed(const shape *s) {
    return s->kernel_h == 3 && s->kernel_w == 3 && s->stride_h == 1 && s->stride_w == 1 &&
           s->dilation_h == 1 && s->dilation_w == 1 && s->groups == 1;
}

/* Random terms in [-1, 1] sum up to about sqrt(terms) / 3, of which a sum in floats is wrong by some 1e-6; Winograd's
 * largest errors are up to twice those of the direct sum. */
static void check_close(const fixture *f, const char *what, const float *got, const double *want, size_t size,
                        double terms) {
    char text[256];
    double tolerance = 1e-6 * sqrt(terms) + 4e-7 * terms / 16 + 1e-6;
    if (may_be_transformed(&f->s)) tolerance *= 2;
    for (size_t i = 0; i < size; i++)
        if (!(fabs((double)got[i] - want[i]) <= tolerance * (1 + fabs(want[i])))) {
            name_shape(f, text, sizeof text);
            fail_msg("%s of %s: at %zu of %zu expected %.9g, got %.9g", what, text, i, size, want[i],
                     (double)got[i]);
        }
}

static double terms_of_y(const fixture *f) {
    return (double)f->s.kernel_h * f->s.kernel_w * f->s.in_c / f->s.groups;
}

/* ---- the tests of one shape ------------------------------------------------------------------------------
 */

static void check_plain(const fixture *f, bool bias, bool relu) {
    cnn_conv_epilogue e = {.bias = bias ? f->bias.data : NULL, .relu = relu};
    size_t size = (size_t)f->s.n * f->size.y, channels = (size_t)f->s.out_c;
    double *want = make_doubles(size);
    for (size_t i = 0; i < size; i++) {
        want[i] = f->y[i] + (bias ? (double)f->bias.data[i % channels] : 0);
        if (relu && want[i] < 0) want[i] = 0;
    }
    array y = make_array(size), scratch = make_scratch(f, &e);
    cnn_kernel()->conv_forward(&f->c, f->s.n, f->x.data, f->packed.data, &e, y.data, NULL, scratch.data);
    check_close(f, "forward", y.data, want, size, terms_of_y(f));
    check_guard(&y, "forward: y");
    check_guard(&scratch, "forward: scratch");
    free_array(&y);
    free_array(&scratch);
    free(want);
}

/* The pooled values and indices that follow, bit for bit, from an output that was not pooled. */
static void pool_reference(const cnn_conv *c, int n, int pool_h, int pool_w, bool relu, const float *y,
                           float *pooled, uint8_t *index) {
    int rows = c->out_h / pool_h, columns = c->out_w / pool_w;
    for (int s = 0; s < n; s++)
        for (int r = 0; r < rows; r++)
            for (int q = 0; q < columns; q++)
                for (int o = 0; o < c->out_c; o++) {
                    float best = 0;
                    int at = -1;
                    for (int i = 0; i < pool_h; i++)
                        for (int j = 0; j < pool_w; j++) {
                            int row = s * c->out_h + r * pool_h + i, column = q * pool_w + j;
                            float v = y[((size_t)row * (size_t)c->out_w + (size_t)column) * (size_t)c->out_c +
                                        (size_t)o];
                            if (at < 0 || v > best || (isnan(v) && !isnan(best)))
                                best = v, at = i * pool_w + j;
                        }
                    if (relu && best <= 0) best = 0, at = 255;
                    *pooled++ = best;
                    *index++ = (uint8_t)at;
                }
}

static void check_unpool(const fixture *f, int pool_h, int pool_w, const uint8_t *index, size_t size) {
    const cnn_conv *c = &f->c;
    array dpooled = random_array(size), dy = make_array((size_t)f->s.n * f->size.y);
    cnn_kernel()->conv_unpool(c, f->s.n, pool_h, pool_w, dpooled.data, index, dy.data);
    check_guard(&dy, "unpool: dy");
    int rows = c->out_h / pool_h, columns = c->out_w / pool_w;
    for (int s = 0; s < f->s.n; s++)
        for (int r = 0; r < c->out_h; r++)
            for (int q = 0; q < c->out_w; q++)
                for (int o = 0; o < c->out_c; o++) {
                    size_t window = (size_t)(s * rows + r / pool_h) * (size_t)columns + (size_t)(q / pool_w);
                    size_t cell = window * (size_t)c->out_c + (size_t)o;
                    bool here = index[cell] == r % pool_h * pool_w + q % pool_w;
                    size_t row = (size_t)(s * c->out_h + r) * (size_t)c->out_w;
                    assert_true(dy.data[(row + (size_t)q) * (size_t)c->out_c + (size_t)o] ==
                                (here ? dpooled.data[cell] : 0));
                }
    free_array(&dpooled);
    free_array(&dy);
}

/* From the gradient of pooled outputs straight to the weights is as far as through all outputs. */
static void check_grad_windows(const fixture *f, const uint8_t *index, size_t size) {
    const cnn_kernels *k = cnn_kernel();
    if (!k->conv_grads_of_windows(&f->c, 2, 2)) return;
    cnn_conv_epilogue e = {.pool_h = 2, .pool_w = 2};
    size_t channels = (size_t)f->s.out_c;
    array dpooled = random_array(size), dy = make_array((size_t)f->s.n * f->size.y);
    array dw = random_array(f->size.w), db = random_array(channels), scratch = make_scratch(f, &e);
    double *want_dw = make_doubles(f->size.w), *want_db = make_doubles(channels);
    k->conv_unpool(&f->c, f->s.n, 2, 2, dpooled.data, index, dy.data);
    for (int i = 0; i < f->s.n; i++) {
        double *y = make_doubles(f->size.y), *dx = make_doubles(f->size.x);
        const float *dy_i = dy.data + (size_t)i * f->size.y;
        triple t = {f->x.data + (size_t)i * f->size.x, f->w.data, dy_i, y, dx, want_dw};
        each_product(&f->c, add_product, &t);
        for (size_t j = 0; j < f->size.y; j++) want_db[j % channels] += (double)dy_i[j];
        free(y);
        free(dx);
    }
    for (size_t i = 0; i < f->size.w; i++) want_dw[i] += (double)dw.data[i];
    for (size_t i = 0; i < channels; i++) want_db[i] += (double)db.data[i];
    k->conv_grad_windows(&f->c, f->s.n, f->x.data, dpooled.data, index, dw.data, db.data, scratch.data);
    check_close(f, "grad_windows: dw", dw.data, want_dw, f->size.w, (double)(size / channels));
    check_close(f, "grad_windows: db", db.data, want_db, channels, (double)(size / channels));
    check_guard(&dw, "grad_windows: dw");
    check_guard(&db, "grad_windows: db");
    check_guard(&scratch, "grad_windows: scratch");
    k->conv_grad_windows(&f->c, f->s.n, f->x.data, dpooled.data, index, NULL, NULL, scratch.data);
    array *arrays[] = {&dpooled, &dy, &dw, &db, &scratch};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) free_array(arrays[i]);
    free(want_dw);
    free(want_db);
}

static void check_pooled(const fixture *f, int pool_h, int pool_w, bool relu) {
    const cnn_conv *c = &f->c;
    cnn_conv_epilogue flat = {.bias = f->bias.data}, e = {f->bias.data, relu, pool_h, pool_w};
    int high = pool_h > 1 ? pool_h : 1, wide = pool_w > 1 ? pool_w : 1;
    size_t size = (size_t)f->s.n * (size_t)(c->out_h / high) * (size_t)(c->out_w / wide) * (size_t)c->out_c;
    array y = make_array((size_t)f->s.n * f->size.y), pooled = make_array(size), want = make_array(size);
    array scratch = make_scratch(f, &flat), pool_scratch = make_scratch(f, &e);
    uint8_t *index = malloc(size + 16), *want_index = malloc(size + 16);
    memset(index, 77, size + 16);
    cnn_kernel()->conv_forward(c, f->s.n, f->x.data, f->packed.data, &flat, y.data, NULL, scratch.data);
    cnn_kernel()->conv_forward(c, f->s.n, f->x.data, f->packed.data, &e, pooled.data, index,
                               pool_scratch.data);
    pool_reference(c, f->s.n, high, wide, relu, y.data, want.data, want_index);
    check_guard(&pooled, "forward, pooled: y");
    check_guard(&pool_scratch, "forward, pooled: scratch");
    for (int i = 0; i < 16; i++) assert_int_equal(index[size + (size_t)i], 77);
    for (size_t i = 0; i < size; i++) assert_true(pooled.data[i] == want.data[i]);
    if (high * wide == 1) {
        for (size_t i = 0; i < size; i++) assert_int_equal(index[i], 77); /* no pooling, no index */
        memcpy(index, want_index, size);
    }
    if (size) assert_memory_equal(index, want_index, size);
    check_unpool(f, high, wide, index, size);
    if (high == 2 && wide == 2) check_grad_windows(f, index, size);
    cnn_kernel()->conv_forward(c, f->s.n, f->x.data, f->packed.data, &e, pooled.data, NULL,
                               pool_scratch.data);
    for (size_t i = 0; i < size; i++) assert_true(pooled.data[i] == want.data[i]);
    array *arrays[] = {&y, &pooled, &want, &scratch, &pool_scratch};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) free_array(arrays[i]);
    free(index);
    free(want_index);
}

static void check_grad_input(const fixture *f) {
    size_t size = (size_t)f->s.n * f->size.x;
    array dx = make_array(size), scratch = make_scratch(f, NULL);
    memset(dx.data, 0xff, size * sizeof(float));
    cnn_kernel()->conv_grad_input(&f->c, f->s.n, f->dy.data, f->packed_grad.data, dx.data, scratch.data);
    check_close(f, "grad_input", dx.data, f->dx, size,
                (double)f->s.kernel_h * f->s.kernel_w * f->s.out_c / f->s.groups);
    check_guard(&dx, "grad_input: dx");
    check_guard(&scratch, "grad_input: scratch");
    free_array(&dx);
    free_array(&scratch);
}

/* dw and db are added to. */
static void check_grad_weights(const fixture *f, bool with_weights, bool with_bias) {
    size_t channels = (size_t)f->s.out_c;
    array dw = random_array(f->size.w), db = random_array(channels), scratch = make_scratch(f, NULL);
    double *want_dw = make_doubles(f->size.w), *want_db = make_doubles(channels);
    for (size_t i = 0; i < f->size.w; i++) want_dw[i] = (with_weights ? f->dw[i] : 0) + (double)dw.data[i];
    for (size_t i = 0; i < channels; i++) want_db[i] = (with_bias ? f->db[i] : 0) + (double)db.data[i];
    cnn_kernel()->conv_grad_weights(&f->c, f->s.n, f->x.data, f->dy.data, with_weights ? dw.data : NULL,
                                    with_bias ? db.data : NULL, scratch.data);
    double terms = (double)f->s.n * f->c.out_h * f->c.out_w;
    check_close(f, "grad_weights: dw", dw.data, want_dw, f->size.w, terms);
    check_close(f, "grad_weights: db", db.data, want_db, channels, terms);
    check_guard(&dw, "grad_weights: dw");
    check_guard(&db, "grad_weights: db");
    check_guard(&scratch, "grad_weights: scratch");
    free_array(&dw);
    free_array(&db);
    free_array(&scratch);
    free(want_dw);
    free(want_db);
}

static void check_one_by_one(const fixture *f) {
    size_t n = (size_t)f->s.n, size = n * (f->size.x > f->size.y ? f->size.x : f->size.y);
    cnn_conv_epilogue e = {.bias = f->bias.data, .relu = true};
    array all = make_array(size), one = make_array(size), scratch = make_scratch(f, &e);
    const cnn_kernels *k = cnn_kernel();
    k->conv_forward(&f->c, f->s.n, f->x.data, f->packed.data, &e, all.data, NULL, scratch.data);
    for (size_t i = 0; i < n; i++)
        k->conv_forward(&f->c, 1, f->x.data + i * f->size.x, f->packed.data, &e, one.data + i * f->size.y,
                        NULL, scratch.data);
    assert_memory_equal(all.data, one.data, n * f->size.y * sizeof(float));
    k->conv_grad_input(&f->c, f->s.n, f->dy.data, f->packed_grad.data, all.data, scratch.data);
    for (size_t i = 0; i < n; i++)
        k->conv_grad_input(&f->c, 1, f->dy.data + i * f->size.y, f->packed_grad.data,
                           one.data + i * f->size.x, scratch.data);
    assert_memory_equal(all.data, one.data, n * f->size.x * sizeof(float));
    free_array(&all);
    free_array(&one);
    free_array(&scratch);
}

/* Windows of pooling are whole: of a shape without the rows and columns that fill none. What they would have seen of the
 * picture has no gradient. */
static void check_windows(const fixture *f, int pool_h, int pool_w) {
    shape s = f->s;
    int rows = f->c.out_h % (pool_h > 1 ? pool_h : 1), columns = f->c.out_w % (pool_w > 1 ? pool_w : 1);
    s.bottom -= rows * s.stride_h;
    s.right -= columns * s.stride_w;
    if (rows == f->c.out_h || columns == f->c.out_w) return;
    fixture whole;
    open_fixture(&whole, &s);
    check_pooled(&whole, pool_h, pool_w, true);
    check_pooled(&whole, pool_h, pool_w, false);
    if (rows + columns > 0) {
        check_grad_input(&whole);
        check_grad_weights(&whole, true, true);
    }
    close_fixture(&whole);
}

/* ---- the tests --------------------------------------------------------------------------------------------
 */

typedef void check(const fixture *f);

static void each_shape(const char *cpu, check *f) {
    if (cnn_set_cpu(cpu) != CNN_OK) skip();
    for (int i = 0; i < SHAPES; i++) {
        fixture fx;
        open_fixture(&fx, &shapes[i]);
        f(&fx);
        close_fixture(&fx);
    }
}

static void check_all_plain(const fixture *f) {
    for (int i = 0; i < 4; i++) check_plain(f, i & 1, i & 2);
}

static void check_all_pooled(const fixture *f) {
    static const int pools[][2] = {{2, 2}, {3, 2}, {1, 4}, {2, 0}, {5, 5}};
    for (size_t i = 0; i < sizeof pools / sizeof *pools; i++) check_windows(f, pools[i][0], pools[i][1]);
}

static void check_all_grad_weights(const fixture *f) {
    check_grad_weights(f, true, true);
    check_grad_weights(f, true, false);
    check_grad_weights(f, false, true);
}

static void test_forward(void **state) {
    each_shape(*state, check_all_plain);
}

static void test_pooled(void **state) {
    each_shape(*state, check_all_pooled);
}

static void test_grad_input(void **state) {
    each_shape(*state, check_grad_input);
}

static void test_grad_weights(void **state) {
    each_shape(*state, check_all_grad_weights);
}

static void test_one_by_one(void **state) {
    each_shape(*state, check_one_by_one);
}

static int random_int(int from, int to) {
    random_float();
    return from + (int)(random_state >> 16) % (to - from + 1);
}

/* A small shape with a little of everything; its kernel fits in its padded picture. */
static shape random_shape(void) {
    for (;;) {
        int groups = random_int(0, 2) ? 1 : random_int(1, 5), multiplier = random_int(1, 3);
        int in = groups * (random_int(0, 1) ? 1 : random_int(1, 9));
        shape s = {.in_h = random_int(1, 13),
                   .in_w = random_int(1, 13),
                   .in_c = in,
                   .out_c = groups * (random_int(0, 1) ? multiplier : random_int(1, 40)),
                   .kernel_h = random_int(1, 5),
                   .kernel_w = random_int(1, 5),
                   .stride_h = random_int(1, 4),
                   .stride_w = random_int(1, 4),
                   .dilation_h = random_int(1, 3),
                   .dilation_w = random_int(1, 3),
                   .top = random_int(0, 3),
                   .bottom = random_int(0, 3),
                   .left = random_int(0, 3),
                   .right = random_int(0, 3),
                   .groups = groups,
                   .n = random_int(1, 4)};
        cnn_conv c = conv_of(&s);
        bool fits = s.in_h + s.top + s.bottom > (s.kernel_h - 1) * s.dilation_h &&
                    s.in_w + s.left + s.right > (s.kernel_w - 1) * s.dilation_w;
        if (fits && c.out_h > 0 && c.out_w > 0) return s;
    }
}

static void test_random_shapes(void **state) {
    if (cnn_set_cpu(*state) != CNN_OK) skip();
    random_state = 2024;
    for (int i = 0; i < 300; i++) {
        shape s = random_shape();
        fixture f;
        open_fixture(&f, &s);
        check_plain(&f, i & 1, i & 2);
        check_windows(&f, random_int(1, 3), random_int(1, 3));
        check_grad_input(&f);
        check_grad_weights(&f, true, i & 8);
        check_one_by_one(&f);
        close_fixture(&f);
    }
}

/* 3×3 kernels with enough channels to be transformed, on pictures that tiles of 4×4 outputs seldom fit. */
static void test_random_tiles(void **state) {
    if (cnn_set_cpu(*state) != CNN_OK) skip();
    random_state = 77;
    for (int i = 0; i < 40; i++) {
        shape s = {random_int(3, 15),
                   random_int(3, 15),
                   random_int(9, 40),
                   random_int(9, 40),
                   3,
                   3,
                   1,
                   1,
                   1,
                   1,
                   random_int(0, 3),
                   random_int(0, 3),
                   random_int(0, 3),
                   random_int(0, 3),
                   1,
                   random_int(1, 4)};
        fixture f;
        open_fixture(&f, &s);
        check_plain(&f, i & 1, i & 2);
        check_windows(&f, random_int(1, 5), random_int(1, 5));
        check_windows(&f, 2, 2);
        check_grad_input(&f);
        check_grad_weights(&f, true, i & 8);
        check_one_by_one(&f);
        close_fixture(&f);
    }
}

/* The largest error, as a share of the largest value. */
static double worst(const float *got, const double *want, size_t size) {
    double error = 0, most = 0;
    for (size_t i = 0; i < size; i++) {
        double off = fabs((double)got[i] - want[i]);
        if (!(off <= error)) error = off; /* also where it is not a number */
        if (fabs(want[i]) > most) most = fabs(want[i]);
    }
    return error / most;
}

/* Layers like those of the networks people train are transformed, which is seen by the size of their weights; with
 * errors of 5e-6 of the output's scale at most, in all passes. */
static void test_transformed_is_accurate(void **state) {
    if (cnn_set_cpu(*state) != CNN_OK) skip();
    static const shape layers[] = {{26, 26, 32, 64, 3, 3, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1},
                                   {18, 18, 64, 96, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1},
                                   {12, 12, 256, 64, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}};
    const cnn_kernels *k = cnn_kernel();
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        fixture f;
        open_fixture(&f, &layers[i]);
        assert_true(k->conv_packed_size(&f.c) >= 4 * f.size.w);
        assert_true(k->conv_packed_grad_size(&f.c) >= 4 * f.size.w);
        array y = make_array(f.size.y), dx = make_array(f.size.x), dw = make_array(f.size.w);
        array scratch = make_scratch(&f, NULL);
        memset(dw.data, 0, f.size.w * sizeof(float));
        k->conv_forward(&f.c, 1, f.x.data, f.packed.data, NULL, y.data, NULL, scratch.data);
        k->conv_grad_input(&f.c, 1, f.dy.data, f.packed_grad.data, dx.data, scratch.data);
        k->conv_grad_weights(&f.c, 1, f.x.data, f.dy.data, dw.data, NULL, scratch.data);
        assert_true(worst(y.data, f.y, f.size.y) < 5e-6);
        assert_true(worst(dx.data, f.dx, f.size.x) < 5e-6);
        assert_true(worst(dw.data, f.dw, f.size.w) < 5e-6);
        array *arrays[] = {&y, &dx, &dw, &scratch};
        for (size_t j = 0; j < sizeof arrays / sizeof *arrays; j++) free_array(arrays[j]);
        close_fixture(&f);
    }
}

/* Transformed, a NaN pixel reaches all outputs that see it, and of the others only those of their 4×4 tiles. */
static void test_not_a_number_in_tiles(void **state) {
    if (cnn_set_cpu(*state) != CNN_OK) skip();
    static const shape s = {20, 20, 32, 32, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    fixture f;
    open_fixture(&f, &s);
    f.x.data[(10 * 20 + 8) * 32 + 5] = NAN; /* seen by rows 9 … 11, columns 7 … 9 */
    array y = make_array(f.size.y), scratch = make_scratch(&f, NULL);
    cnn_kernel()->conv_forward(&f.c, 1, f.x.data, f.packed.data, NULL, y.data, NULL, scratch.data);
    for (int i = 0; i < 20 * 20 * 32; i++) {
        int row = i / 32 / 20, column = i / 32 % 20;
        bool sees = row >= 9 && row <= 11 && column >= 7 && column <= 9;
        bool near = row >= 8 && row <= 11 && column >= 4 && column <= 11;
        if (sees) assert_true(isnan(y.data[i]));
        if (!near) assert_true(isfinite(y.data[i]));
    }
    free_array(&y);
    free_array(&scratch);
    close_fixture(&f);
}

/* Weights of 0 and a bias of 0: every sum is 0, relu clips it, and no gradient passes. */
static void test_zero_is_clipped(void **state) {
    if (cnn_set_cpu(*state) != CNN_OK) skip();
    fixture f;
    open_fixture(&f, &shapes[0]);
    memset(f.w.data, 0, f.w.size * sizeof(float));
    cnn_kernel()->conv_pack(&f.c, f.w.data, f.packed.data);
    cnn_conv_epilogue e = {.relu = true, .pool_h = 2, .pool_w = 2};
    array y = make_array((size_t)f.s.n * 13 * 13 * 32), scratch = make_scratch(&f, &e);
    uint8_t *index = malloc(y.size);
    cnn_kernel()->conv_forward(&f.c, f.s.n, f.x.data, f.packed.data, &e, y.data, index, scratch.data);
    for (size_t i = 0; i < y.size; i++) assert_true(y.data[i] == 0 && index[i] == 255);
    e.relu = false;
    cnn_kernel()->conv_forward(&f.c, f.s.n, f.x.data, f.packed.data, &e, y.data, index, scratch.data);
    for (size_t i = 0; i < y.size; i++) assert_true(y.data[i] == 0 && index[i] == 0);
    free(index);
    free_array(&y);
    free_array(&scratch);
    close_fixture(&f);
}

/* One NaN pixel reaches exactly the outputs that see it, also through relu and pooling; infinity likewise. */
static void test_not_a_number(void **state) {
    if (cnn_set_cpu(*state) != CNN_OK) skip();
    static const shape s = {12, 12, 2, 20, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    fixture f;
    open_fixture(&f, &s);
    for (int pooled = 0; pooled < 2; pooled++)
        for (int infinite = 0; infinite < 2; infinite++) {
            f.x.data[(5 * 12 + 6) * 2] = infinite ? INFINITY : NAN;
            cnn_conv_epilogue e = {f.bias.data, !infinite, pooled ? 2 : 0, pooled ? 2 : 0};
            int side = pooled ? 6 : 12;
            array y = make_array((size_t)(side * side * 20)), scratch = make_scratch(&f, &e);
            cnn_kernel()->conv_forward(&f.c, 1, f.x.data, f.packed.data, &e, y.data, NULL, scratch.data);
            for (int i = 0; i < side * side * 20; i++) {
                int row = i / 20 / side, column = i / 20 % side;
                bool sees = pooled ? row >= 2 && row <= 3 && column >= 2 && column <= 3
                                   : row >= 4 && row <= 6 && column >= 5 && column <= 7;
                if (!sees)
                    assert_true(isfinite(y.data[i]));
                else if (!infinite)
                    assert_true(isnan(y.data[i]));
                else if (!pooled)
                    assert_true(isinf(y.data[i]));
            }
            free_array(&y);
            free_array(&scratch);
        }
    close_fixture(&f);
}

#define EACH_CPU(test)                                                                                       \
    {#test ", avx512", test, NULL, NULL, "avx512"}, {#test ", avx2", test, NULL, NULL, "avx2"},              \
        {#test ", sse2", test, NULL, NULL, "sse2"}, {                                                        \
#test ", generic", test, NULL, NULL, "generic"                                                       \
    }

int main(void) {
    const struct CMUnitTest tests[] = {
        EACH_CPU(test_forward),
        EACH_CPU(test_pooled),
        EACH_CPU(test_grad_input),
        EACH_CPU(test_grad_weights),
        EACH_CPU(test_one_by_one),
        EACH_CPU(test_zero_is_clipped),
        EACH_CPU(test_not_a_number),
        EACH_CPU(test_random_shapes),
        EACH_CPU(test_random_tiles),
        EACH_CPU(test_transformed_is_accurate),
        EACH_CPU(test_not_a_number_in_tiles),
    };
    return cmocka_run_group_tests_name("convolution kernels", tests, NULL, NULL);
}
