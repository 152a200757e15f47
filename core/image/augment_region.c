/* Steps that choose a part of the picture: crop and erase. */
#include "image/augment.h"
#include "base/status.h"

#include <math.h>
#include <string.h>

static int64_t draw_place(cnn_random *random, int64_t places) {
    int32_t place;
    cnn_random_integers(random, &place, 1, 0, (int32_t)places);
    return place;
}

/* ---- crop ---------------------------------------------------------------------------------------------- */

typedef struct crop {
    cnn_step head;
    int height, width;
} crop;

static const cnn_param crop_params[] = {
    CNN_PARAM(INT, crop, height, NULL, .low = 1, .help = "rows of the part"),
    CNN_PARAM(INT, crop, width, NULL, .low = 1, .help = "columns of the part"),
    {0}};

static cnn_status crop_check(cnn_step *step) {
    step->probability = 1;
    return CNN_OK;
}

static cnn_status crop_resize(const cnn_step *step, int64_t *height, int64_t *width) {
    const crop *s = (const crop *)step;
    if (s->height > *height || s->width > *width)
        return cnn_fail(CNN_ERROR_SHAPE, "crop: expected pictures of at least %d by %d, got %lld by %lld",
                        s->height, s->width, (long long)*height, (long long)*width);
    *height = s->height;
    *width = s->width;
    return CNN_OK;
}

static void crop_change(const cnn_step *step, cnn_frame *frame, cnn_random *random) {
    const crop *s = (const crop *)step;
    int64_t top = draw_place(random, frame->height - s->height + 1);
    int64_t left = draw_place(random, frame->width - s->width + 1);
    const float *from = frame->pixels + (top * frame->width + left) * frame->channels;
    float *to = cnn_frame_next(frame);
    int64_t row = s->width * frame->channels;
    for (int64_t y = 0; y < s->height; y++, from += frame->width * frame->channels, to += row)
        memcpy(to, from, (size_t)row * sizeof *to);
    frame->height = s->height;
    frame->width = s->width;
}

/*** Takes a part of each picture, at a random place.
@class cnn.augment.crop
@raise pictures that are smaller than the part
@usage
crop = cnn.augment.crop{24, 24}
crop(cnn.zeros{8, 32, 32, 3}):shape()  --> {8, 24, 24, 3}
crop(cnn.zeros{16, 16, 3})             --> error: crop: expected pictures of at least 24 by 24, got 16 by 16
*/
static const cnn_step_class crop_class = {.class = CNN_CLASS("augmentation", "crop", NULL, crop, crop_params),
                                          .moves = true,
                                          .check = crop_check,
                                          .resize = crop_resize,
                                          .change = crop_change};

/* ---- erase --------------------------------------------------------------------------------------------- */

/* Z. Zhong, L. Zheng, G. Kang, S. Li, Y. Yang, Random Erasing Data Augmentation, 2017. */
typedef struct erase {
    cnn_step head;
    cJSON *scale, *ratio, *value_range;
    double value; /* NaN: random numbers */
    cnn_range area, shape, values;
} erase;

static const cnn_param erase_params[] = {
    CNN_STEP_PROBABILITY(erase, "0.5"),
    CNN_PARAM(JSON, erase, scale, "[0.02, 0.33]", .help = "share of the picture's area"),
    CNN_PARAM(JSON, erase, ratio, "[0.3, 3.3]", .help = "height of the rectangle over its width"),
    CNN_PARAM(FLOAT, erase, value, "0", .nullable = true,
              .help = "what it is filled with; null: random numbers"),
    CNN_PARAM(JSON, erase, value_range, "[0, 255]", .help = "between which random numbers are drawn"),
    {0}};

static cnn_status erase_check(cnn_step *step) {
    erase *s = (erase *)step;
    CNN_TRY(cnn_limits_read(&s->area, step, "scale", s->scale));
    CNN_TRY(cnn_limits_read(&s->shape, step, "ratio", s->ratio));
    CNN_TRY(cnn_limits_read(&s->values, step, "value_range", s->value_range));
    if (!(s->area.low >= 0 && s->area.high <= 1))
        return cnn_fail(CNN_ERROR_ARGUMENT, "erase: 'scale' must be between 0 and 1, got %g to %g",
                        s->area.low, s->area.high);
    if (s->shape.low > 0) return CNN_OK;
    return cnn_fail(CNN_ERROR_ARGUMENT, "erase: 'ratio' must be above 0, got %g to %g", s->shape.low,
                    s->shape.high);
}

/* Rectangles are drawn until one fits; none may, as with scales near 1 and ratios far from the picture's. */
static bool draw_rectangle(const erase *s, const cnn_frame *frame, cnn_random *random, int64_t *height,
                           int64_t *width) {
    enum { TRIES = 20 };
    const cnn_range shape = {log(s->shape.low), log(s->shape.high)};
    for (int i = 0; i < TRIES; i++) {
        double area = cnn_range_draw(&s->area, random) * (double)(frame->height * frame->width);
        double ratio = exp(cnn_range_draw(&shape, random));
        double h = nearbyint(sqrt(area * ratio)), w = nearbyint(sqrt(area / ratio));
        if (h > (double)frame->height || w > (double)frame->width) continue;
        *height = (int64_t)h;
        *width = (int64_t)w;
        return true;
    }
    return false;
}

static void erase_change(const cnn_step *step, cnn_frame *frame, cnn_random *random) {
    const erase *s = (const erase *)step;
    int64_t height, width;
    if (!draw_rectangle(s, frame, random, &height, &width)) return;
    int64_t top = draw_place(random, frame->height - height + 1);
    int64_t left = draw_place(random, frame->width - width + 1), row = width * frame->channels;
    float *to = cnn_frame_own(frame) + (top * frame->width + left) * frame->channels;
    for (int64_t y = 0; y < height; y++, to += frame->width * frame->channels) {
        if (isnan(s->value))
            cnn_random_uniform(random, to, row, (float)s->values.low, (float)s->values.high);
        else
            for (int64_t i = 0; i < row; i++) to[i] = (float)s->value;
    }
}

/*** Fills a random rectangle of each picture, so that no single part of it can be relied on (Zhong et al. 2017).
Its area is a share of the picture's from `scale`, its height over its width from `ratio`.
@class cnn.augment.erase
@raise a scale, ratio or value_range that is not two numbers that rise
@usage
erase = cnn.augment.erase{probability = 1, scale = {0.25, 0.25}, ratio = {1, 1}}
x = erase(cnn.ones{8, 8, 1})
x:sum():item()  --> 48.0
*/
static const cnn_step_class erase_class = {.class =
                                               CNN_CLASS("augmentation", "erase", NULL, erase, erase_params),
                                           .check = erase_check,
                                           .change = erase_change};

const cnn_step_class *const cnn_steps_region[] = {&crop_class, &erase_class, NULL};
