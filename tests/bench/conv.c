/* How fast the convolution kernels are, one thread, on the shapes of layers people use: GFLOP/s of each pass,
 * and the share of what multiply-adds in registers reach in the same run (of the direct sum's operations: with Winograd's
 * fewer ones it may be more than all). The best of several short runs
 * counts, as the machine may be busy. Usage: conv [word that the layer's name must hold] [instruction set] */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cnn.h"
#include "kernels/kernels.h"

typedef struct layer {
    const char *name;
    int n, in, in_c, out_c, kernel, stride, pad, groups, pool;
} layer;

static const layer layers[] = {
    {"28x28x1 -> 32, 3x3, pool", 16, 28, 1, 32, 3, 1, 0, 1, 2},
    {"28x28x1 -> 32, 3x3", 4, 28, 1, 32, 3, 1, 0, 1, 0},
    {"28x28x1 -> 10, 3x3 same", 16, 28, 1, 10, 3, 1, 1, 1, 0},
    {"26x26x32 -> 64, 3x3, pool", 8, 26, 32, 64, 3, 1, 0, 1, 2},
    {"13x13x32 -> 64, 3x3, pool", 16, 13, 32, 64, 3, 1, 0, 1, 2},
    {"11x11x64 -> 64, 3x3, pool", 16, 11, 64, 64, 3, 1, 0, 1, 2},
    {"13x13x32 -> 64, 3x3, one", 1, 13, 32, 64, 3, 1, 0, 1, 2},
    {"5x5x64 -> 64, 3x3, one", 1, 5, 64, 64, 3, 1, 0, 1, 0},
    {"28x28x1 -> 32, 3x3, one", 1, 28, 1, 32, 3, 1, 0, 1, 2},
    {"5x5x64 -> 64, 3x3", 16, 5, 64, 64, 3, 1, 0, 1, 0},
    {"5x5x64 -> 128, 3x3", 16, 5, 64, 128, 3, 1, 0, 1, 0},
    {"178x178x3 -> 32, 3x3, pool", 1, 178, 3, 32, 3, 1, 0, 1, 2},
    {"89x89x32 -> 64, 3x3, pool", 1, 89, 32, 64, 3, 1, 0, 1, 2},
    {"43x43x64 -> 128, 3x3, pool", 1, 43, 64, 128, 3, 1, 0, 1, 2},
    {"20x20x128 -> 256, 3x3, pool", 2, 20, 128, 256, 3, 1, 0, 1, 2},
    {"8x8x256 -> 256, 3x3", 8, 8, 256, 256, 3, 1, 0, 1, 0},
    {"56x56x64 -> 64, 1x1", 1, 56, 64, 64, 1, 1, 0, 1, 0},
    {"14x14x256 -> 512, 1x1", 2, 14, 256, 512, 1, 1, 0, 1, 0},
    {"28x28x32 -> 64, 5x5 same", 2, 28, 32, 64, 5, 1, 2, 1, 0},
    {"56x56x64 -> 128, 3x3 stride 2", 1, 56, 64, 128, 3, 2, 1, 1, 0},
    {"56x56x64 -> 128, 1x1 stride 2", 1, 56, 64, 128, 1, 2, 0, 1, 0},
    {"112x112x32 depthwise, 3x3", 1, 112, 32, 32, 3, 1, 1, 32, 0},
    {"28x28x128 depthwise, 3x3", 1, 28, 128, 128, 3, 1, 1, 128, 0},
    {"112x112x32 depthwise, 3x3 s 2", 1, 112, 32, 32, 3, 2, 1, 32, 0},
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *allocate(size_t bytes) {
    void *p = aligned_alloc(64, (bytes + 127) / 64 * 64);
    if (!p) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    memset(p, 0, bytes);
    return p;
}

static float *random_floats(size_t size) {
    float *p = allocate(size * sizeof(float));
    for (size_t i = 0; i < size; i++) p[i] = (float)rand() / (float)RAND_MAX - 0.5f;
    return p;
}

/* What one pass works on. */
typedef struct bench {
    const cnn_kernels *k;
    cnn_conv c;
    cnn_conv_epilogue e;
    int n;
    float *x, *y, *dx, *dy, *w, *dw, *db, *packed, *packed_grad;
    uint8_t *index;
    void *scratch;
} bench;

typedef void pass(bench *b);

static void forward(bench *b) {
    b->k->conv_forward(&b->c, b->n, b->x, b->packed, &b->e, b->y, b->index, b->scratch);
}

static void grad_input(bench *b) {
    b->k->conv_grad_input(&b->c, b->n, b->dy, b->packed_grad, b->dx, b->scratch);
}

static void grad_weights(bench *b) {
    b->k->conv_grad_weights(&b->c, b->n, b->x, b->dy, b->dw, b->db, b->scratch);
}

/* Seconds of one call: the best of some runs of at least 4 ms. */
static double seconds(bench *b, pass *f) {
    double best = 1e9;
    f(b);
    for (int run = 0, calls = 1; run < 12; run++) {
        double start = now();
        for (int i = 0; i < calls; i++) f(b);
        double took = now() - start;
        if (took / calls < best) best = took / calls;
        if (took < 0.004) calls *= 2;
    }
    return best;
}

static double peak(const cnn_kernels *k) {
    const int64_t rounds = 400000;
    volatile float sink = 0;
    double best = 1e9;
    for (int run = 0; run < 30; run++) {
        double start = now();
        sink = sink + k->peak(rounds);
        double took = now() - start;
        if (took < best) best = took;
    }
    return (double)rounds * k->peak_flops_per_round / best;
}

static void open_bench(bench *b, const layer *l) {
    int out = (l->in + 2 * l->pad - l->kernel) / l->stride + 1;
    if (l->pool > 1) out -= out % l->pool; /* whole windows */
    b->c = (cnn_conv){
        .in_h = l->in,
        .in_w = l->in,
        .in_c = l->in_c,
        .out_h = out,
        .out_w = out,
        .out_c = l->out_c,
        .kernel_h = l->kernel,
        .kernel_w = l->kernel,
        .stride_h = l->stride,
        .stride_w = l->stride,
        .dilation_h = 1,
        .dilation_w = 1,
        .pad_top = l->pad,
        .pad_left = l->pad,
        .groups = l->groups,
    };
    size_t x = (size_t)(l->n * l->in * l->in * l->in_c), y = (size_t)(l->n * out * out * l->out_c);
    size_t w = (size_t)(l->kernel * l->kernel * l->in_c / l->groups * l->out_c);
    b->n = l->n;
    b->x = random_floats(x);
    b->dx = random_floats(x);
    b->y = random_floats(y);
    b->dy = random_floats(y);
    b->w = random_floats(w);
    b->dw = random_floats(w);
    b->db = random_floats((size_t)l->out_c);
    b->index = allocate(y);
    b->e = (cnn_conv_epilogue){b->db, true, l->pool, l->pool};
    b->packed = allocate(b->k->conv_packed_size(&b->c) * sizeof(float));
    b->packed_grad = allocate(b->k->conv_packed_grad_size(&b->c) * sizeof(float));
    b->scratch = allocate(b->k->conv_scratch(&b->c, &b->e));
    b->k->conv_pack(&b->c, b->w, b->packed);
    b->k->conv_pack_grad(&b->c, b->w, b->packed_grad);
}

static void close_bench(bench *b) {
    void *all[] = {b->x,  b->y,      b->dx,          b->dy,    b->w,      b->dw,
                   b->db, b->packed, b->packed_grad, b->index, b->scratch};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

int main(int argc, char **argv) {
    const char *word = argc > 1 ? argv[1] : "";
    if (argc > 2 && cnn_set_cpu(argv[2]) != CNN_OK) {
        fprintf(stderr, "%s\n", cnn_error_message());
        return 1;
    }
    bench b = {.k = cnn_kernel()};
    static pass *const passes[] = {forward, grad_input, grad_weights};
    double most = peak(b.k);
    printf("%s: %.1f GFLOP/s at most\n", b.k->isa, most * 1e-9);
    printf("%-32s %16s %16s %16s\n", "GFLOP/s", "forward", "grad_input", "grad_weights");
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        if (!strstr(layers[i].name, word)) continue;
        open_bench(&b, &layers[i]);
        double again = peak(b.k);
        if (again > most) most = again;
        printf("%-32s", layers[i].name);
        for (int p = 0; p < 3; p++) {
            double speed = b.n * cnn_conv_flops(&b.c) / seconds(&b, passes[p]);
            printf(" %9.1f %5.1f%%", speed * 1e-9, 100 * speed / most);
        }
        printf("\n");
        close_bench(&b);
    }
    return 0;
}
