/* Elastic distortion: P. Simard, D. Steinkraus, J. Platt, Best Practices for Convolutional Neural Networks Applied
 * to Visual Document Analysis, 2003. Each pixel is seen at a place moved by a field of uniform numbers in (-1, 1),
 * smoothed by a Gaussian of deviation sigma and multiplied by alpha, both in pixels. */
#include "image/augment.h"
#include "base/status.h"

#include <math.h>

typedef struct elastic {
    cnn_step head;
    double alpha, sigma;
} elastic;

enum { MOST_SIGMA = 1000, WIDTHS = 3 }; /* the Gaussian ends after so many deviations */

static const cnn_param params[] = {
    CNN_PARAM(FLOAT, elastic, alpha, "34", .low = 0, .high = INFINITY, .help = "how far pixels are moved"),
    CNN_PARAM(FLOAT, elastic, sigma, "4", .low = 0.1, .high = MOST_SIGMA,
              .help = "how far neighbours are moved alike"),
    CNN_STEP_PROBABILITY(elastic, "1"),
    CNN_STEP_WARP(elastic),
    {0}};

static int64_t radius_of(const elastic *s) {
    return (int64_t)ceil(WIDTHS * s->sigma);
}

/* Two fields, a line of one and half a Gaussian. */
static int64_t scratch_of(const cnn_step *step, int64_t height, int64_t width) {
    return 2 * height * width + (height > width ? height : width) + radius_of((const elastic *)step) + 1;
}

static void make_gaussian(const elastic *s, float *half) {
    double sum = 0;
    int64_t radius = radius_of(s);
    for (int64_t i = -radius; i <= radius; i++) sum += exp(-0.5 * (double)(i * i) / (s->sigma * s->sigma));
    for (int64_t i = 0; i <= radius; i++)
        half[i] = (float)(exp(-0.5 * (double)(i * i) / (s->sigma * s->sigma)) / sum);
}

/* Beyond the ends of a line there is nothing. */
static void smooth_line(float *line, int64_t count, int64_t stride, const float *half, int64_t radius,
                        float *copy) {
    for (int64_t i = 0; i < count; i++) copy[i] = line[i * stride];
    for (int64_t i = 0; i < count; i++) {
        float sum = half[0] * copy[i];
        for (int64_t k = 1; k <= radius; k++) {
            if (i - k >= 0) sum += half[k] * copy[i - k];
            if (i + k < count) sum += half[k] * copy[i + k];
        }
        line[i * stride] = sum;
    }
}

static void make_field(const elastic *s, const cnn_frame *frame, cnn_random *random, float *field,
                       float *line, const float *half) {
    int64_t height = frame->height, width = frame->width, radius = radius_of(s);
    cnn_random_uniform(random, field, height * width, (float)-s->alpha, (float)s->alpha);
    for (int64_t y = 0; y < height; y++) smooth_line(field + y * width, width, 1, half, radius, line);
    for (int64_t x = 0; x < width; x++) smooth_line(field + x, height, width, half, radius, line);
}

/* A single pixel of a warp that only shifts is the sample at a point. */
static void change(const cnn_step *step, cnn_frame *frame, cnn_random *random) {
    const elastic *s = (const elastic *)step;
    int64_t height = frame->height, width = frame->width, pixels = height * width;
    float *across = frame->scratch, *down = across + pixels, *line = down + pixels;
    float *half = line + (height > width ? height : width);
    make_gaussian(s, half);
    make_field(s, frame, random, across, line, half);
    make_field(s, frame, random, down, line, half);
    cnn_warp w = {.in_height = height,
                  .in_width = width,
                  .out_height = 1,
                  .out_width = 1,
                  .channels = frame->channels,
                  .at = cnn_affine_identity(),
                  .options = cnn_step_options(&step, 1)};
    const float *from = frame->pixels;
    float *to = cnn_frame_next(frame);
    for (int64_t i = 0; i < pixels; i++) {
        w.at.x0 = (double)(i % width) + across[i];
        w.at.y0 = (double)(i / width) + down[i];
        cnn_warp_picture(&w, from, to + i * frame->channels);
    }
}

/*** Distorts each picture like rubber (Simard et al. 2003): pixels are moved at random, neighbours alike.
Each pixel's way is drawn from ±alpha, then smoothed by a Gaussian of deviation sigma, which leaves much less of it.
@class cnn.augment.elastic
@usage
elastic = cnn.augment.elastic{34, 4}
elastic(cnn.zeros{8, 28, 28, 1}):shape()  --> {8, 28, 28, 1}
*/
static const cnn_step_class elastic_class = {.class =
                                                 CNN_CLASS("augmentation", "elastic", NULL, elastic, params),
                                             .moves = true,
                                             .scratch = scratch_of,
                                             .change = change};

const cnn_step_class *const cnn_steps_elastic[] = {&elastic_class, NULL};
