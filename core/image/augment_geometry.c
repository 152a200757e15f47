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

/*** Turns each picture by a random angle about its middle.

rotate{15} is from -15° to 15°, rotate{{0, 90}} from 0° to 90°, counter-clockwise above 0. Neighbouring steps that
move pixels (rotate, shift, shear, zoom, flip) are done in one pass, so that the picture is sampled once.
@class cnn.augment.rotate
@raise no angle; degrees that are neither a number nor {low, high}
@usage
quarter = cnn.augment.rotate{{90, 90}}
quarter(cnn.tensor{1, 2, 3, 4}:reshape{2, 2, 1}):reshape{2, 2}
--> float32 (2, 2)
--> [[2. 4.]
-->  [1. 3.]]
cnn.augment.rotate{15}(cnn.zeros{8, 32, 32, 3}):shape()  --> {8, 32, 32, 3}
*/
static const cnn_step_class rotate_class = {
    .class = CNN_CLASS("augmentation", "rotate", NULL, rotate, rotate_params),
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

/*** Moves each picture down or up, and to the sides, by a random amount.
Numbers below 1 are shares of the picture's size, others pixels: shift{0.1, 0.1} is up to a tenth either way,
shift{width = 3} up to three pixels.
@class cnn.augment.shift
@raise a range that is neither a number nor {low, high}
@usage
right = cnn.augment.shift{width = {1, 1}, fill_mode = "constant"}
right(cnn.tensor{1, 2, 3, 4}:reshape{1, 4, 1}):reshape{4}
--> float32 (4,)
--> [0. 1. 2. 3.]
*/
static const cnn_step_class shift_class = {.class =
                                               CNN_CLASS("augmentation", "shift", NULL, shift, shift_params),
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

/*** Shears each picture sideways by a random angle, about its middle row: upright lines lean.
@class cnn.augment.shear
@raise degrees that are not between -90 and 90
@usage
lean = cnn.augment.shear{{45, 45}, fill_mode = "constant"}
lean(cnn.ones{3, 5, 1}):reshape{3, 5}
--> float32 (3, 5)
--> [[0. 1. 1. 1. 1.]
-->  [1. 1. 1. 1. 1.]
-->  [1. 1. 1. 1. 0.]]
*/
static const cnn_step_class shear_class = {.class =
                                               CNN_CLASS("augmentation", "shear", NULL, shear, shear_params),
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

/*** Makes what is seen in each picture larger or smaller by random factors, about its middle; the size stays.

zoom{0.2} is from 0.8 to 1.2, zoom{{1, 2}} up to twice as large; height and width each have a factor, unless uniform
is true.
@class cnn.augment.zoom
@raise factors that are not above 0
@usage
twice = cnn.augment.zoom{{2, 2}, interpolation = "nearest"}
twice(cnn.arange{16, dtype = "float32"}:reshape{4, 4, 1}):reshape{4, 4}
--> float32 (4, 4)
--> [[ 5.  5.  6.  6.]
-->  [ 5.  5.  6.  6.]
-->  [ 9.  9. 10. 10.]
-->  [ 9.  9. 10. 10.]]
*/
static const cnn_step_class zoom_class = {.class = CNN_CLASS("augmentation", "zoom", NULL, zoom, zoom_params),
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

/*** Mirrors each picture or not, by chance: left and right, up and down, or each of them by itself.
@class cnn.augment.flip
@raise a mode that is not there
@usage
mirror = cnn.augment.flip{probability = 1}
mirror(cnn.tensor{1, 2, 3}:reshape{1, 3, 1}):reshape{3}
--> float32 (3,)
--> [3. 2. 1.]
cnn.augment.flip{"sideways"}
--> error: flip: 'mode' must be one of 'horizontal', 'vertical', 'horizontal_and_vertical', got "sideways"
*/
static const cnn_step_class flip_class = {.class = CNN_CLASS("augmentation", "flip", NULL, flip, flip_params),
                                          .check = flip_check,
                                          .place = flip_place};

const cnn_step_class *const cnn_steps_geometry[] = {&rotate_class, &shift_class, &shear_class,
                                                    &zoom_class,   &flip_class,  NULL};
