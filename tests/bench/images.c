/* Our side of images.py: photographs made ready for training, one stage at a time.
 *
 * Usage: images THREADS SECONDS FILE... Each thread takes its share of the files, again and again; for every stage a line
 * `stage milliseconds`: the processor's time for one picture, the threads' together. */
#include "base/parallel.h"
#include "image/image.h"

#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SIDE = 180, MOST_THREADS = 64 };

/* A picture on its way: as a file, decoded, of the size for training in bytes and in floats. */
typedef struct photo {
    const char *path;
    cnn_tensor *decoded, *bytes, *floats;
} photo;

typedef struct stage {
    const char *name;
    cnn_status (*run)(cnn_tensor **out, const photo *p);
} stage;

static const cnn_affine turned = {.xx = 0.9, .xy = 0.1, .x0 = 3, .yx = -0.1, .yy = 0.9, .y0 = 5};
static const cnn_warp_options smooth = {.method = CNN_BILINEAR};

static cnn_status decode(cnn_tensor **out, const photo *p) {
    return cnn_image_load(out, p->path, 3);
}

static cnn_status antialias(cnn_tensor **out, const photo *p) {
    return cnn_image_resize(out, p->decoded, SIDE, SIDE, CNN_BILINEAR, true);
}

/* From bytes to floats. */
static cnn_status resize(cnn_tensor **out, const photo *p) {
    cnn_status status = cnn_tensor_new(out, CNN_FLOAT32, 3, (int64_t[]){SIDE, SIDE, 3});
    return status != CNN_OK ? status
                            : cnn_image_fit_into(*out, p->decoded, CNN_BILINEAR, false, CNN_ASPECT_STRETCH);
}

static cnn_status warp_bytes(cnn_tensor **out, const photo *p) {
    return cnn_image_warp(out, p->bytes, &turned, 1, 0, 0, &smooth);
}

static cnn_status warp_floats(cnn_tensor **out, const photo *p) {
    return cnn_image_warp(out, p->floats, &turned, 1, 0, 0, &smooth);
}

/* Decoded, shrunk without aliases and turned, all in bytes: what Pillow can do. */
static cnn_status all_bytes(cnn_tensor **out, const photo *p) {
    photo on_its_way = *p;
    cnn_status status = decode(&on_its_way.decoded, p);
    if (status != CNN_OK) return status;
    status = antialias(&on_its_way.bytes, &on_its_way);
    cnn_tensor_release(on_its_way.decoded);
    if (status != CNN_OK) return status;
    status = warp_bytes(out, &on_its_way);
    cnn_tensor_release(on_its_way.bytes);
    return status;
}

/* As a data set of a folder does it. */
static cnn_status all_floats(cnn_tensor **out, const photo *p) {
    photo on_its_way = *p;
    cnn_status status =
        cnn_image_load_resized(&on_its_way.floats, p->path, 3, SIDE, SIDE, CNN_BILINEAR, CNN_ASPECT_STRETCH);
    if (status != CNN_OK) return status;
    status = warp_floats(out, &on_its_way);
    cnn_tensor_release(on_its_way.floats);
    return status;
}

static const stage stages[] = {{"decode", decode},           {"antialias", antialias},
                               {"resize", resize},           {"warp_bytes", warp_bytes},
                               {"warp_floats", warp_floats}, {"all_bytes", all_bytes},
                               {"all_floats", all_floats}};

static photo *photos;
static int photo_count, threads;
static double seconds;

static void check(cnn_status status) {
    if (status == CNN_OK) return;
    fprintf(stderr, "images: %s\n", cnn_error_message());
    exit(1);
}

static double now(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct share {
    pthread_t thread;
    const stage *stage;
    int first;
    long done;
} share;

static void *work(void *argument) {
    share *s = argument;
    double end = now(CLOCK_MONOTONIC) + seconds;
    cnn_parallel_alone();
    while (now(CLOCK_MONOTONIC) < end)
        for (int i = s->first; i < photo_count; i += threads, s->done++) {
            cnn_tensor *out;
            check(s->stage->run(&out, &photos[i]));
            cnn_tensor_release(out);
        }
    return NULL;
}

static void measure(const stage *which) {
    share shares[MOST_THREADS];
    long done = 0;
    double start = now(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 0; i < threads; i++) {
        shares[i] = (share){.stage = which, .first = i};
        if (pthread_create(&shares[i].thread, NULL, work, &shares[i]) != 0) exit(1);
    }
    for (int i = 0; i < threads; i++) {
        pthread_join(shares[i].thread, NULL);
        done += shares[i].done;
    }
    printf("%s %.4f\n", which->name, (now(CLOCK_PROCESS_CPUTIME_ID) - start) * 1e3 / (double)done);
}

int main(int argc, char **argv) {
    if (argc < 4 || (threads = atoi(argv[1])) < 1 || threads > MOST_THREADS) {
        fprintf(stderr, "usage: images THREADS SECONDS FILE...\n");
        return 2;
    }
    mallopt(M_MMAP_THRESHOLD, 32 << 20); /* as the program does */
    mallopt(M_TRIM_THRESHOLD, 128 << 20);
    seconds = atof(argv[2]);
    photo_count = argc - 3;
    photos = calloc((size_t)photo_count, sizeof *photos);
    for (int i = 0; i < photo_count; i++) {
        photo *p = &photos[i];
        p->path = argv[i + 3];
        check(decode(&p->decoded, p));
        check(antialias(&p->bytes, p));
        check(resize(&p->floats, p));
    }
    for (size_t i = 0; i < sizeof stages / sizeof *stages; i++) measure(&stages[i]);
    return 0;
}
