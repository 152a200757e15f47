/* Our side of sweep.py: convolutions of any shape, through the ops that eager calls and the tape run, with
 * all that such a call does - memory for the result, weights packed anew.
 *
 * Usage: sweep THREADS. Reads lines `kind n h w in out kernel_h kernel_w stride dilation same groups seconds`,
 * kind being conv, depthwise, conv1d or transpose, and answers each with three numbers: how long one call
 * takes of the forward pass, the gradient to the input and the gradient to the weights, each measured for
 * about so many seconds. */
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cnn.h"
#include "ops/conv_kinds.h"

typedef struct shape {
    char kind[16];
    int n, h, w, in, out, kernel_h, kernel_w, stride, dilation, same, groups;
} shape;

/* An op with what it works on. */
typedef struct bench {
    const cnn_op *op;
    union {
        cnn_conv2d conv;
        cnn_depthwise_conv2d depthwise;
        cnn_conv1d conv1d;
        cnn_conv2d_transpose transpose;
    } attributes;
    cnn_tensor *inputs[3]; /* x, weights, bias */
    cnn_tensor *y, *dy, *gradients[2];
} bench;

static void check(cnn_status status) {
    if (status == CNN_OK) return;
    fprintf(stderr, "sweep: %s\n", cnn_error_message());
    exit(1);
}

/* One thread's work is measured by the processor's time, which other programs do not count in. */
static double now(void) {
    struct timespec t;
    clock_gettime(cnn_threads() == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static cnn_tensor *random_tensor(int rank, const int64_t *sizes) {
    cnn_tensor *t;
    check(cnn_tensor_new(&t, CNN_FLOAT32, rank, sizes));
    float *data = cnn_f32(t);
    for (int64_t i = 0; i < t->size; i++) data[i] = (float)rand() / (float)RAND_MAX - 0.5f;
    return t;
}

/* The op, its attributes and the sizes of x and the weights. */
static void describe(bench *b, const shape *s, int64_t *x, int64_t *w) {
    memcpy(x, (int64_t[]){s->n, s->h, s->w, s->in}, 4 * sizeof *x);
    memcpy(w, (int64_t[]){s->kernel_h, s->kernel_w, s->in / s->groups, s->out}, 4 * sizeof *w);
    if (!strcmp(s->kind, "conv")) {
        b->op = &cnn_op_conv2d;
        b->attributes.conv = (cnn_conv2d){.strides = {s->stride, s->stride},
                                          .padding = s->same,
                                          .dilation_rate = {s->dilation, s->dilation},
                                          .groups = s->groups,
                                          .pool = {1, 1}};
    } else if (!strcmp(s->kind, "depthwise")) {
        b->op = &cnn_op_depthwise_conv2d;
        b->attributes.depthwise = (cnn_depthwise_conv2d){.strides = {s->stride, s->stride},
                                                         .padding = s->same,
                                                         .dilation_rate = {s->dilation, s->dilation}};
        w[2] = s->in;
        w[3] = s->out / s->in;
    } else if (!strcmp(s->kind, "conv1d")) {
        b->op = &cnn_op_conv1d;
        b->attributes.conv1d = (cnn_conv1d){
            .strides = s->stride, .padding = s->same, .dilation_rate = s->dilation, .groups = s->groups};
        memmove(x + 1, x + 2, 2 * sizeof *x);
        memmove(w, w + 1, 3 * sizeof *w);
    } else {
        b->op = &cnn_op_conv2d_transpose;
        b->attributes.transpose = (cnn_conv2d_transpose){.strides = {s->stride, s->stride},
                                                         .padding = s->same,
                                                         .output_padding = {INT_MIN, INT_MIN},
                                                         .dilation_rate = {s->dilation, s->dilation}};
        w[2] = s->out;
        w[3] = s->in;
    }
    b->attributes.conv.class = &b->op->class; /* every kind's first member */
}

static void forward(bench *b) {
    cnn_tensor *y;
    check(cnn_op_apply(&y, b->op, &b->attributes, b->inputs, 3, false));
    cnn_tensor_release(y);
}

static void gradient(bench *b, int input) {
    const cnn_tensor *inputs[] = {b->inputs[0], b->inputs[1], b->inputs[2]};
    cnn_tensor *gradients[] = {NULL, NULL, NULL};
    gradients[input] = b->gradients[input];
    cnn_op_info info;
    check(cnn_op_infer(b->op, &b->attributes, inputs, 3, true, &info));
    check(cnn_op_backward(b->op, &b->attributes, &info, inputs, 3, b->y, NULL, true, 0, b->dy, gradients));
}

static void grad_input(bench *b) {
    gradient(b, 0);
}

static void grad_weights(bench *b) {
    gradient(b, 1);
}

/* Of one call: the best of windows of a millisecond or more. */
static double seconds_of(bench *b, void (*f)(bench *), double seconds) {
    double best = 1e9, start = now();
    f(b);
    f(b);
    for (int calls = 1; now() - start < seconds || best == 1e9;) {
        double began = now();
        for (int i = 0; i < calls; i++) f(b);
        double took = now() - began;
        if (took < 0.001 && took < seconds / 4)
            calls *= 2;
        else if (took / calls < best)
            best = took / calls;
    }
    return best;
}

static void measure(const shape *s, double seconds) {
    int64_t x[4], w[4];
    bench b = {0};
    describe(&b, s, x, w);
    int rank = b.op == &cnn_op_conv1d ? 3 : 4;
    b.inputs[0] = random_tensor(rank, x);
    b.inputs[1] = random_tensor(rank, w);
    b.inputs[2] = random_tensor(1, &(int64_t){s->out});
    b.gradients[0] = random_tensor(rank, x);
    b.gradients[1] = random_tensor(rank, w);
    check(cnn_op_apply(&b.y, b.op, &b.attributes, b.inputs, 3, false));
    b.dy = random_tensor(rank, b.y->shape);
    double a = seconds_of(&b, forward, seconds), c = seconds_of(&b, grad_input, seconds);
    printf("%.9f %.9f %.9f\n", a, c, seconds_of(&b, grad_weights, seconds));
    fflush(stdout);
    cnn_tensor *all[] = {b.inputs[0], b.inputs[1], b.inputs[2], b.gradients[0], b.gradients[1], b.y, b.dy};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) cnn_tensor_release(all[i]);
}

int main(int argc, char **argv) {
    shape s;
    double seconds;
    check(cnn_set_threads(argc > 1 ? atoi(argv[1]) : 1));
    while (scanf("%15s %d %d %d %d %d %d %d %d %d %d %d %lf", s.kind, &s.n, &s.h, &s.w, &s.in, &s.out,
                 &s.kernel_h, &s.kernel_w, &s.stride, &s.dilation, &s.same, &s.groups, &seconds) == 13)
        measure(&s, seconds);
    return 0;
}
