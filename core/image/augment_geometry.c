/* Steps that are affine maps: the pipeline makes one of neighbouring ones. All turn about the middle of the picture. */
#include "image/augment.h"
#include "base/status.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

/* ---- rotate -------------------------------------------------------------------------------------------- */

typedef struct rotate {
    cnn_step head;
    cJSON *degrees;
    cnn_range range;
} rotate;

static const cnn_param rotate_params[] = {
    CNN_PARAM(JSON, rotate, degrees, NULL,
              .help = "v: from -v to v; {low, high}: between; counter-clockwise above 0"),
    CNN_STEP_PROBABILITY(rotate, "1"),
    CNN_STEP_WARP(rotate),
    {0}};

static cnn_status rotate_check(cnn_step *step) {
    rotate *s = (rotate *)step;
    return cnn_range_read(&s->range, step, "degrees", s->degrees, 0);
}

static cnn_affine rotate_place(const cnn_step *step, int64_t height, int64_t width, cnn_random *random) {
    (void)height, (void)width;
    return cnn_affine_rotation(cnn_range_draw(&((const rotate *)step)->range, random) * pi / 180);
}

static const cnn_step_class rotate_class = {
    .class = CNN_CLASS("augmentation", "rotate", NULL, rotate, rotate_params, "Turns a picture."),
    .check = rotate_check,
    .place = rotate_place};

/* ---- shift --------------------------------------------------------------------------------------------- */

typedef struct shift {
    cnn_step head;
    cJSON *height, *width;
    cnn_range down, right;
} shift;

static const cnn_param shift_params[] = {
    CNN_PARAM(JSON, shift, height, "0",
              .help = "v: from -v to v; {low, high}: between; down above 0; pixels, or below 1 shares of the "
                      "picture's height"),
    CNN_PARAM(JSON, shift, width, "0", .help = "the same to the right"),
    CNN_STEP_PROBABILITY(shift, "1"),
    CNN_STEP_WARP(shift),
    {0}};

static cnn_status shift_check(cnn_step *step) {
    shift *s = (shift *)step;
    CNN_TRY(cnn_range_read(&s->down, step, "height", s->height, 0));
    return cnn_range_read(&s->right, step, "width", s->width, 0);
}

static double draw_pixels(const cnn_range *range, int64_t size, cnn_random *random) {
    bool shares = fabs(range->low) < 1 && fabs(range->high) < 1;
    return cnn_range_draw(range, random) * (shares ? (double)size : 1);
}

static cnn_affine shift_place(const cnn_step *step, int64_t height, int64_t width, cnn_random *random) {
    const shift *s = (const shift *)step;
    double down = draw_pixels(&s->down, height, random);
    return cnn_affine_translation(draw_pixels(&s->right, width, random), down);
}

static const cnn_step_class shift_class = {
    .class = CNN_CLASS("augmentation", "shift", NULL, shift, shift_params, "Moves a picture."),
    .check = shift_check,
    .place = shift_place};

/* ---- shear --------------------------------------------------------------------------------------------- */

typedef struct shear {
    cnn_step head;
    cJSON *degrees;
    cnn_range range;
} shear;

static const cnn_param shear_params[] = {
    CNN_PARAM(JSON, shear, degrees, NULL,
              .help = "v: from -v to v; {low, high}: between; upright lines lean so far"),
    CNN_STEP_PROBABILITY(shear, "1"),
    CNN_STEP_WARP(shear),
    {0}};

static cnn_status shear_check(cnn_step *step) {
    shear *s = (shear *)step;
    CNN_TRY(cnn_range_read(&s->range, step, "degrees", s->degrees, 0));
    if (s->range.low > -90 && s->range.high < 90) return CNN_OK;
    return cnn_fail(CNN_ERROR_ARGUMENT, "shear: 'degrees' must be between -90 and 90, got %g to %g",
                    s->range.low, s->range.high);
}

static cnn_affine shear_place(const cnn_step *step, int64_t height, int64_t width, cnn_random *random) {
    (void)height, (void)width;
    return cnn_affine_shear(tan(cnn_range_draw(&((const shear *)step)->range, random) * pi / 180), 0);
}

static const cnn_step_class shear_class = {
    .class = CNN_CLASS("augmentation", "shear", NULL, shear, shear_params, "Shears a picture sideways."),
    .check = shear_check,
    .place = shear_place};

/* ---- zoom ---------------------------------------------------------------------------------------------- */

typedef struct zoom {
    cnn_step head;
    cJSON *range;
    bool uniform;
    cnn_range factor;
} zoom;

static const cnn_param zoom_params[] = {
    CNN_PARAM(JSON, zoom, range, NULL,
              .help = "z: from 1 - z to 1 + z; {low, high}: between; larger above 1"),
    CNN_PARAM(BOOL, zoom, uniform, "false", .help = "the same factor for height and width"),
    CNN_STEP_PROBABILITY(zoom, "1"),
    CNN_STEP_WARP(zoom),
    {0}};

static cnn_status zoom_check(cnn_step *step) {
    zoom *s = (zoom *)step;
    CNN_TRY(cnn_range_read(&s->factor, step, "range", s->range, 1));
    if (s->factor.low > 0) return CNN_OK;
    return cnn_fail(CNN_ERROR_ARGUMENT, "zoom: 'range' must lead to factors above 0, got %g to %g",
                    s->factor.low, s->factor.high);
}

static cnn_affine zoom_place(const cnn_step *step, int64_t height, int64_t width, cnn_random *random) {
    const zoom *s = (const zoom *)step;
    (void)height, (void)width;
    double higher = cnn_range_draw(&s->factor, random), wider = cnn_range_draw(&s->factor, random);
    return cnn_affine_scale(s->uniform ? higher : wider, higher);
}

static const cnn_step_class zoom_class = {
    .class = CNN_CLASS("augmentation", "zoom", NULL, zoom, zoom_params, "Makes a picture larger or smaller."),
    .check = zoom_check,
    .place = zoom_place};

/* ---- flip ---------------------------------------------------------------------------------------------- */

typedef struct flip {
    cnn_step head;
    int mode;
    double chance; /* of each of the two */
} flip;

enum { HORIZONTAL, VERTICAL, BOTH };

static const cnn_param flip_params[] = {
    CNN_PARAM(CHOICE, flip, mode, "\"horizontal\"", .choices = "horizontal vertical horizontal_and_vertical",
              .help = "left and right, up and down, or each of them by itself"),
    CNN_PARAM_NAMED(FLOAT, flip, chance, "probability", "0.5", .low = 0, .high = 1,
                    .help = "share of the pictures that are flipped"),
    {0}};

static cnn_status flip_check(cnn_step *step) {
    step->probability = 1;
    step->fill_value = NAN;
    return CNN_OK;
}

static cnn_affine flip_place(const cnn_step *step, int64_t height, int64_t width, cnn_random *random) {
    const flip *s = (const flip *)step;
    static const cnn_range one = {0, 1};
    (void)height, (void)width;
    bool sides = cnn_range_draw(&one, random) < s->chance, ends = cnn_range_draw(&one, random) < s->chance;
    return cnn_affine_scale(s->mode != VERTICAL && sides ? -1 : 1, s->mode != HORIZONTAL && ends ? -1 : 1);
}

static const cnn_step_class flip_class = {
    .class = CNN_CLASS("augmentation", "flip", NULL, flip, flip_params, "Mirrors a picture."),
    .check = flip_check,
    .place = flip_place};

const cnn_step_class *const cnn_steps_geometry[] = {&rotate_class, &shift_class, &shear_class,
                                                    &zoom_class,   &flip_class,  NULL};
