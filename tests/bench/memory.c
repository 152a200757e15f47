/* How fast the passes that only go through memory are: the bytes that each has to read and write, as a share of what a
 * copy moves in the same time. Arrays are far larger than the caches; one thread; the best of several runs
 * counts, as the machine may be busy. More than 100 % is possible, for a copy writes as much as it reads.
 * Usage: memory [instruction set] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cnn.h"
#include "kernels/kernels.h"

enum { RUNS = 7, COUNT = 1 << 24, CHANNELS = 64, ROWS = COUNT / CHANNELS, CLASSES = 16, SIDE = 64 };

/* Four arrays of COUNT floats, what a pass keeps beside them, and a place for results that no one reads. */
static float *x, *y, *z, *w;
static uint8_t *bytes;
static double moments[CHANNELS], sums[CHANNELS];
static float mean[CHANNELS], scale[CHANNELS];
static volatile float sink;
static const cnn_kernels *k;

static const cnn_pool pool = {.in_h = SIDE,
                              .in_w = SIDE,
                              .channels = CHANNELS,
                              .pool_h = 2,
                              .pool_w = 2,
                              .stride_h = 2,
                              .stride_w = 2,
                              .out_h = SIDE / 2,
                              .out_w = SIDE / 2};
static const int64_t pictures = COUNT / (SIDE * SIDE * CHANNELS);

static void copy(void) {
    memcpy(y, x, COUNT * sizeof *y);
}

static void relu(void) {
    k->activate(CNN_ACTIVATION_RELU, 0, x, y, COUNT);
}

static void relu_grad(void) {
    k->activate_grad(CNN_ACTIVATION_RELU, 0, y, x, z, COUNT);
}

static void batch_moments(void) {
    k->batch_moments(x, ROWS, CHANNELS, moments, sums);
}

static void batch_normalize(void) {
    k->batch_normalize(x, mean, scale, mean, ROWS, CHANNELS, y);
}

static void batch_sums(void) {
    k->batch_sums(x, y, mean, ROWS, CHANNELS, moments, sums);
}

static void batch_normalize_grad(void) {
    k->batch_normalize_grad(x, y, mean, scale, mean, scale, ROWS, CHANNELS, z);
}

static void max_pool(void) {
    k->max_pool(&pool, pictures, x, y, bytes, 1);
}

static void max_pool_grad(void) {
    k->max_pool_grad(&pool, pictures, y, bytes, 1, z);
}

static void avg_pool(void) {
    k->avg_pool(&pool, pictures, x, y);
}

static void dropout(void) {
    static const cnn_dropout_stream stream = {.key = 1, .threshold = 1u << 31, .scale = 2};
    k->dropout(&stream, 0, x, y, bytes, COUNT);
}

static void dropout_grad(void) {
    k->dropout_grad(2, bytes, x, y, COUNT);
}

static void softmax(void) {
    k->softmax(false, x, y, COUNT / CLASSES, CLASSES);
}

static void softmax_grad(void) {
    k->softmax_grad(false, y, x, z, COUNT / CLASSES, CLASSES);
}

static void squares(void) {
    sink = k->loss_sum(CNN_LOSS_SQUARED, 0, x, y, COUNT);
}

static void binary_crossentropy(void) {
    sink = k->loss_sum(CNN_LOSS_BINARY_LOGITS, 0, x, y, COUNT);
}

static void sgd(void) {
    k->step_sgd(COUNT, y, x, z, 1e-6, 0.9, false);
}

static void rmsprop(void) {
    k->step_rmsprop(COUNT, y, x, z, NULL, NULL, 1e-6, 0.9, 0, 1e-7);
}

static void adam(void) {
    k->step_adam(COUNT, y, x, z, w, NULL, 1e-6, 0.9, 0.999, 1e-7);
}

/* A pass, and how many floats it has to read and write for each of COUNT elements. */
typedef struct pass {
    const char *name;
    void (*run)(void);
    double read, written;
} pass;

static const pass passes[] = {
    {"copy", copy, 1, 1},
    {"relu", relu, 1, 1},
    {"relu, gradient", relu_grad, 2, 1},
    {"batch normalization: moments", batch_moments, 1, 0},
    {"batch normalization: outputs", batch_normalize, 1, 1},
    {"batch normalization: sums of the gradient", batch_sums, 2, 0},
    {"batch normalization: gradient", batch_normalize_grad, 2, 1},
    {"max pooling 2x2, with places", max_pool, 1, 0.25 + 0.0625},
    {"max pooling 2x2, gradient", max_pool_grad, 0.25 + 0.0625, 1},
    {"average pooling 2x2", avg_pool, 1, 0.25},
    {"dropout", dropout, 1, 1.25},
    {"dropout, gradient", dropout_grad, 1.25, 1},
    {"softmax of 16 classes", softmax, 1, 1},
    {"softmax of 16 classes, gradient", softmax_grad, 2, 1},
    {"mean squared error", squares, 2, 0},
    {"binary crossentropy of logits", binary_crossentropy, 2, 0},
    {"SGD with momentum", sgd, 3, 2},
    {"RMSprop", rmsprop, 3, 2},
    {"Adam", adam, 4, 3},
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Bytes a second. */
static double speed(const pass *p) {
    double best = 1e9;
    for (int run = 0; run < RUNS; run++) {
        double start = now();
        p->run();
        double took = now() - start;
        if (took < best) best = took;
    }
    return (p->read + p->written) * COUNT * sizeof(float) / best;
}

static float *array(void) {
    float *a = aligned_alloc(64, COUNT * sizeof *a);
    if (!a) {
        fprintf(stderr, "memory: not enough memory\n");
        exit(1);
    }
    for (int i = 0; i < COUNT; i++) a[i] = (float)rand() / (float)RAND_MAX;
    return a;
}

int main(int argc, char **argv) {
    if (argc > 1 && cnn_set_cpu(argv[1]) != CNN_OK) {
        fprintf(stderr, "memory: %s\n", cnn_error_message());
        return 1;
    }
    k = cnn_kernel();
    x = array(), y = array(), z = array(), w = array();
    bytes = (uint8_t *)array();
    for (int c = 0; c < CHANNELS; c++) scale[c] = 1;
    double of_copy = speed(&passes[0]);
    printf("%s, one thread, arrays of %d MB\n%-44s %8s %10s\n", cnn_cpu(), (int)(COUNT * sizeof *x >> 20), "",
           "GB/s", "of a copy");
    for (size_t i = 0; i < sizeof passes / sizeof *passes; i++) {
        double bytes_a_second = speed(&passes[i]);
        printf("%-44s %8.1f %9.0f%%\n", passes[i].name, bytes_a_second / 1e9, 100 * bytes_a_second / of_copy);
    }
    free(x), free(y), free(z), free(w), free(bytes);
    return 0;
}
