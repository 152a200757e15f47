/* How fast pictures are warped, as a share of how fast they are only copied: pictures by the hundred, out of the
 * cache, on one thread and on all. Both are counted in bytes of the pictures made in a second of processor time of
 * each thread; the best of several runs counts, as the machine may be busy. Usage: warp [instruction set] */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/parallel.h"
#include "image/warp.h"

enum { RUNS = 5 };

typedef struct bench {
    cnn_warp warp; /* of channels 0: a copy */
    bool bytes, copies;
    int64_t count, size; /* of pictures, and elements of each */
    char *in, *out;
} bench;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void one(void *context, int64_t n, int thread) {
    const bench *b = context;
    size_t size = (size_t)b->size * (b->bytes ? 1 : sizeof(float));
    char *in = b->in + (size_t)n * size, *out = b->out + (size_t)n * size;
    (void)thread;
    if (b->copies)
        memcpy(out, in, size);
    else if (b->bytes)
        cnn_warp_picture_u8(&b->warp, (uint8_t *)in, (uint8_t *)out);
    else
        cnn_warp_picture(&b->warp, (float *)in, (float *)out);
}

/* Bytes made in a second. */
static double speed(bench *b) {
    double best = 1e9;
    for (int run = 0; run < RUNS; run++) {
        double start = now();
        cnn_parallel(b->count, one, b);
        double took = (now() - start) / cnn_threads();
        if (took < best) best = took;
    }
    return (double)(b->count * b->size) * (b->bytes ? 1 : sizeof(float)) / best;
}

typedef struct example {
    const char *name;
    double degrees, zoom;
    int mirror;
    cnn_fill fill;
} example;

static const example examples[] = {
    {"mirrored", 0, 1, -1, CNN_FILL_REFLECT},
    {"turned by 10, zoom 1.2", 10, 1.2, 1, CNN_FILL_REFLECT},
    {"turned by 30, constant", 30, 1, 1, CNN_FILL_CONSTANT},
    {"turned by 30, nearest", 30, 1, 1, CNN_FILL_NEAREST},
    {"turned by 30, reflect", 30, 1, 1, CNN_FILL_REFLECT},
    {"turned by 30, wrap", 30, 1, 1, CNN_FILL_WRAP},
    {"turned by 85, reflect", 85, 1, 1, CNN_FILL_REFLECT},
};

static void run(int64_t side, int64_t channels, bool bytes) {
    size_t total = (size_t)64 << 20, element = bytes ? 1 : sizeof(float);
    bench b = {.bytes = bytes, .size = side * side * channels};
    b.count = (int64_t)(total / ((size_t)b.size * element));
    b.in = malloc(total);
    b.out = malloc(total);
    if (!b.in || !b.out) exit(1);
    memset(b.out, 0, total);
    for (int64_t i = 0; i < b.count * b.size; i++) {
        if (bytes)
            b.in[i] = (char)(i * 7919 >> 3);
        else
            ((float *)b.in)[i] = (float)(i * 7919 % 256);
    }
    b.copies = true;
    double copy = speed(&b);
    printf("\n%lldx%lldx%lld %s, %d threads: copied at %.2f GB/s\n", (long long)side, (long long)side,
           (long long)channels, bytes ? "uint8" : "float32", cnn_threads(), copy * 1e-9);
    b.copies = false;
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        const example *e = &examples[i];
        cnn_affine at = cnn_affine_compose(cnn_affine_rotation(e->degrees * 3.14159265358979 / 180),
                                           cnn_affine_scale(e->zoom * e->mirror, e->zoom));
        b.warp = (cnn_warp){.in_height = side,
                            .in_width = side,
                            .out_height = side,
                            .out_width = side,
                            .channels = channels,
                            .at = cnn_affine_centred(at, side, side),
                            .options = {CNN_BILINEAR, e->fill, 0}};
        double fast = speed(&b);
        printf("  %-24s %6.2f GB/s %5.0f%%  %5.2f ns a pixel\n", e->name, fast * 1e-9, 100 * fast / copy,
               1e9 * (double)channels * (double)element / fast);
    }
    free(b.in);
    free(b.out);
}

int main(int argc, char **argv) {
    if (argc > 1 && cnn_set_cpu(argv[1]) != CNN_OK) {
        fprintf(stderr, "%s\n", cnn_error_message());
        return 1;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("%s; shares are of the copy's speed\n", cnn_cpu());
    int most = cnn_threads();
    for (int threads = 1; threads <= most; threads += most > 1 ? most - 1 : 1) {
        cnn_set_threads(threads);
        run(180, 3, false);
        run(224, 3, false);
        run(180, 1, false);
        run(180, 3, true);
    }
    return 0;
}
