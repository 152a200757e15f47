/* Layers that change pictures at random in training and pass them on otherwise: RandomFlip, RandomRotation, RandomZoom,
 * RandomTranslation, RandomShear, RandomContrast and RandomBrightness, as in Keras. Where Keras 2 and 3 differ: each
 * picture has a contrast of its own, up or down, and flips in both directions are independent. */
#include "layers/augmentation.h"
#include "base/status.h"
#include "ops/activation.h"
#include "ops/augment.h"
#include "ops/shape.h"

#include <math.h>
#include <stdlib.h>

typedef struct augmentation {
    cnn_layer layer;
    int mode; /* of RandomFlip */
    cJSON *factor, *height_factor, *width_factor, *x_factor, *y_factor, *value_range;
    int fill_mode, interpolation; /* cnn_fill; cnn_interpolation */
    double fill_value;
    int data_format;
    int seed;       /* INT_MIN: none was given */
    int drawn_seed; /* the one used */
} augmentation;

/* ---- what all have in common ----------------------------------------------------------------------------- */

/* Takes the tensor's reference over, and changes it for one of another shape. */
static cnn_status reshape(cnn_tensor **tensor, int rank, const int64_t *sizes) {
    cnn_reshape_op attributes = {.class = &cnn_op_reshape.class, .target_shape.rank = rank};
    cnn_tensor *result;
    for (int i = 0; i < rank; i++) attributes.target_shape.sizes[i] = sizes[i];
    CNN_TRY(cnn_op_apply(&result, &cnn_op_reshape, &attributes, tensor, 1, false));
    cnn_tensor_release(*tensor);
    *tensor = result;
    return CNN_OK;
}

static cnn_status as_float(cnn_tensor **tensor) {
    cnn_tensor *result;
    if ((*tensor)->dtype == CNN_FLOAT32) return CNN_OK;
    CNN_TRY(cnn_op_apply(&result, &cnn_op_cast, NULL, tensor, 1, false));
    cnn_tensor_release(*tensor);
    *tensor = result;
    return CNN_OK;
}

cnn_status cnn_augmentation_apply(cnn_layer *layer, const cnn_op *op, const void *attributes,
                                  cnn_tensor **out, cnn_tensor *input, bool training) {
    bool single = input->rank == 3 && input->data;
    if (!single) CNN_TRY(cnn_layer_expect_rank(layer, input, 4, "[N,H,W,C]"));
    cnn_tensor *x = cnn_tensor_retain(input), *y = NULL;
    cnn_status status = as_float(&x);
    if (status == CNN_OK && single)
        status = reshape(&x, 4, (int64_t[]){1, x->shape[0], x->shape[1], x->shape[2]});
    if (status == CNN_OK) status = cnn_op_apply(&y, op, attributes, &x, 1, training);
    cnn_tensor_release(x);
    if (status == CNN_OK && single)
        status = reshape(&y, 3, (int64_t[]){y->shape[1], y->shape[2], y->shape[3]});
    if (status == CNN_OK)
        *out = y;
    else
        cnn_tensor_release(y);
    return status;
}

/* ---- ranges ---------------------------------------------------------------------------------------------- */

typedef struct range {
    double low, high;
} range;

static bool read_two(const cJSON *spec, range *r) {
    if (cJSON_GetArraySize(spec) != 2) return false;
    const cJSON *low = spec->child, *high = low->next;
    if (!cJSON_IsNumber(low) || !cJSON_IsNumber(high)) return false;
    *r = (range){low->valuedouble, high->valuedouble};
    return true;
}

/* f is from -f to f; two numbers may come in any order. */
static bool read_range(const cJSON *spec, range *r) {
    if (cJSON_IsNumber(spec)) {
        double f = fabs(spec->valuedouble);
        *r = (range){-f, f};
    } else {
        range two;
        if (!read_two(spec, &two)) return false;
        *r = (range){fmin(two.low, two.high), fmax(two.low, two.high)};
    }
    return r->low >= -1 && r->high <= 1;
}

static range range_of(const cJSON *spec) {
    range r = {0, 0};
    if (spec) read_range(spec, &r);
    return r;
}

static cnn_status refuse(const char *expected, const cJSON *spec) {
    char *came = spec ? cJSON_PrintUnformatted(spec) : NULL;
    cnn_status status =
        cnn_fail(CNN_ERROR_ARGUMENT, "expected %s, got %.40s", expected, came ? came : "nothing");
    free(came);
    return status;
}

static cnn_status check_range(const cJSON *spec) {
    range r;
    if (read_range(spec, &r)) return CNN_OK;
    return refuse("a number from -1 to 1, or two: {low, high}", spec);
}

static cnn_status check_optional_range(const cJSON *spec) {
    return spec ? check_range(spec) : CNN_OK;
}

/* Contrast's two numbers, of which neither is negative, say how far down and how far up it goes. */
static bool read_contrast(const cJSON *spec, range *r) {
    if (cJSON_IsNumber(spec))
        *r = (range){spec->valuedouble, spec->valuedouble};
    else if (!read_two(spec, r))
        return false;
    return r->low >= 0 && r->low <= 1 && r->high >= 0;
}

static cnn_status check_contrast(const cJSON *spec) {
    range r;
    if (read_contrast(spec, &r)) return CNN_OK;
    return refuse("a number from 0 to 1, or two: {down, up}", spec);
}

static cnn_status check_values(const cJSON *spec) {
    range r;
    if (!spec || (read_two(spec, &r) && r.low != r.high)) return CNN_OK;
    return refuse("two different numbers: {darkest, brightest}", spec);
}

/* As it was given, which all versions read alike. */
static cJSON *write_range(const cJSON *spec, cnn_keras keras) {
    (void)keras;
    return spec ? cJSON_Duplicate(spec, true) : cJSON_CreateNull();
}

/* One number alone makes Keras 3 go up only. */
static cJSON *write_contrast(const cJSON *spec, cnn_keras keras) {
    range r;
    if (!read_contrast(spec, &r)) return write_range(spec, keras);
    return cJSON_CreateDoubleArray((double[]){r.low, r.high}, 2);
}

static const cnn_param_spec range_spec = {check_range, write_range},
                            optional_range_spec = {check_optional_range, write_range},
                            contrast_spec = {check_contrast, write_contrast},
                            values_spec = {check_values, write_range};

/* ---- arguments ------------------------------------------------------------------------------------------- */

#define RANGE_PARAM(member, fallback, spec_, help_)                                                          \
    CNN_PARAM(JSON, augmentation, member, fallback, .spec = &spec_, .help = help_)
#define FILL_MODE_PARAM                                                                                      \
    CNN_PARAM(CHOICE, augmentation, fill_mode, "\"reflect\"", .choices = "constant nearest reflect wrap",    \
              .help = "what lies around pictures: 'reflect', 'wrap', 'nearest' or 'constant'")
#define INTERPOLATION_PARAM                                                                                  \
    CNN_PARAM(CHOICE, augmentation, interpolation, "\"bilinear\"", .choices = "nearest bilinear",            \
              .help = "'bilinear' or 'nearest'")
#define SEED_PARAM CNN_AUGMENTATION_SEED_PARAM(augmentation)
#define FILL_VALUE_PARAM                                                                                     \
    CNN_PARAM(FLOAT, augmentation, fill_value, "0", .help = "around pictures where fill_mode is 'constant'")
#define VALUE_RANGE_PARAM                                                                                    \
    CNN_PARAM(JSON, augmentation, value_range, "null", .spec = &values_spec, .if_set = true,                 \
              .help = "{darkest, brightest}, beyond which values are cut off; nil is {0, 255}")
#define WARP_PARAMS FILL_MODE_PARAM, INTERPOLATION_PARAM, SEED_PARAM, FILL_VALUE_PARAM

static const cnn_param flip_params[] = {
    CNN_PARAM(CHOICE, augmentation, mode, "\"horizontal_and_vertical\"",
              .choices = "horizontal vertical horizontal_and_vertical",
              .help = "'horizontal' (left and right), 'vertical' or 'horizontal_and_vertical'"),
    SEED_PARAM,
    CNN_AUGMENTATION_PARAMS(augmentation),
    {0}};

static const cnn_param rotation_params[] = {
    RANGE_PARAM(factor, NULL, range_spec,
                "how far at most, in whole turns, or {low, high}; above 0 is counter-clockwise"),
    WARP_PARAMS,
    CNN_AUGMENTATION_PARAMS(augmentation),
    {0}};

static const cnn_param zoom_params[] = {
    RANGE_PARAM(height_factor, NULL, range_spec,
                "how much at most, or {low, high}; above 0 zooms out, below in"),
    RANGE_PARAM(width_factor, "null", optional_range_spec, "the same across; nil keeps the proportion"),
    WARP_PARAMS,
    CNN_AUGMENTATION_PARAMS(augmentation),
    {0}};

static const cnn_param translation_params[] = {
    RANGE_PARAM(height_factor, NULL, range_spec,
                "how far at most, in parts of the height, or {low, high}; above 0 is down"),
    RANGE_PARAM(width_factor, NULL, range_spec, "the same across; above 0 is to the right"),
    WARP_PARAMS,
    CNN_AUGMENTATION_PARAMS(augmentation),
    {0}};

static const cnn_param shear_params[] = {
    RANGE_PARAM(x_factor, "0", range_spec,
                "columns a row is shifted by against the next one, or {low, high}"),
    RANGE_PARAM(y_factor, "0", range_spec,
                "rows a column is shifted by against the next one, or {low, high}"),
    INTERPOLATION_PARAM,
    FILL_MODE_PARAM,
    FILL_VALUE_PARAM,
    SEED_PARAM,
    CNN_AUGMENTATION_PARAMS(augmentation),
    {0}};

static const cnn_param contrast_params[] = {
    RANGE_PARAM(factor, NULL, contrast_spec, "how much more or less at most, or {down, up}"),
    VALUE_RANGE_PARAM,
    SEED_PARAM,
    CNN_AUGMENTATION_PARAMS(augmentation),
    {0}};

static const cnn_param brightness_params[] = {
    RANGE_PARAM(factor, NULL, range_spec,
                "how much brighter or darker at most, in parts of value_range, or {low, high}"),
    VALUE_RANGE_PARAM,
    SEED_PARAM,
    CNN_AUGMENTATION_PARAMS(augmentation),
    {0}};

static cnn_status init(cnn_layer *layer) {
    augmentation *self = (augmentation *)layer;
    self->drawn_seed = cnn_layer_seed(layer, self->seed);
    return CNN_OK;
}

/* ---- calls ----------------------------------------------------------------------------------------------- */

static cnn_status call_flip(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n,
                            bool training) {
    enum { HORIZONTAL, VERTICAL };
    const augmentation *self = (augmentation *)layer;
    (void)n;
    cnn_random_flip attributes = {.class = &cnn_op_random_flip.class,
                                  .horizontal = self->mode != VERTICAL,
                                  .vertical = self->mode != HORIZONTAL,
                                  .seed = self->drawn_seed};
    return cnn_augmentation_apply(layer, &cnn_op_random_flip, &attributes, out, inputs[0], training);
}

static cnn_status warp(cnn_layer *layer, cnn_augmentation kind, range height, range width, bool keep_aspect,
                       cnn_tensor **out, cnn_tensor *input, bool training) {
    const augmentation *self = (augmentation *)layer;
    cnn_random_warp attributes = {.class = &cnn_op_random_warp.class,
                                  .kind = (int)kind,
                                  .height_low = height.low,
                                  .height_high = height.high,
                                  .width_low = width.low,
                                  .width_high = width.high,
                                  .keep_aspect = keep_aspect,
                                  .fill_mode = self->fill_mode,
                                  .interpolation = self->interpolation,
                                  .fill_value = self->fill_value,
                                  .seed = self->drawn_seed};
    return cnn_augmentation_apply(layer, &cnn_op_random_warp, &attributes, out, input, training);
}

static cnn_status call_rotation(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n,
                                bool training) {
    const augmentation *self = (augmentation *)layer;
    (void)n;
    return warp(layer, CNN_ROTATION, range_of(self->factor), range_of(NULL), false, out, inputs[0], training);
}

static cnn_status call_zoom(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n,
                            bool training) {
    const augmentation *self = (augmentation *)layer;
    (void)n;
    return warp(layer, CNN_ZOOM, range_of(self->height_factor), range_of(self->width_factor),
                !self->width_factor, out, inputs[0], training);
}

static cnn_status call_translation(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n,
                                   bool training) {
    const augmentation *self = (augmentation *)layer;
    (void)n;
    return warp(layer, CNN_TRANSLATION, range_of(self->height_factor), range_of(self->width_factor), false,
                out, inputs[0], training);
}

static cnn_status call_shear(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n,
                             bool training) {
    const augmentation *self = (augmentation *)layer;
    (void)n;
    return warp(layer, CNN_SHEAR, range_of(self->y_factor), range_of(self->x_factor), false, out, inputs[0],
                training);
}

static cnn_status tone(cnn_layer *layer, const cnn_op *op, double low, double high, cnn_tensor **out,
                       cnn_tensor *input, bool training) {
    const augmentation *self = (augmentation *)layer;
    range values = {0, 255};
    if (self->value_range) read_two(self->value_range, &values);
    cnn_random_tone attributes = {.class = &op->class,
                                  .low = low,
                                  .high = high,
                                  .darkest = fmin(values.low, values.high),
                                  .brightest = fmax(values.low, values.high),
                                  .seed = self->drawn_seed};
    return cnn_augmentation_apply(layer, op, &attributes, out, input, training);
}

static cnn_status call_contrast(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n,
                                bool training) {
    range r = {0, 0};
    (void)n;
    read_contrast(((augmentation *)layer)->factor, &r);
    return tone(layer, &cnn_op_random_contrast, 1 - r.low, 1 + r.high, out, inputs[0], training);
}

static cnn_status call_brightness(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n,
                                  bool training) {
    range r = range_of(((augmentation *)layer)->factor);
    (void)n;
    return tone(layer, &cnn_op_random_brightness, r.low, r.high, out, inputs[0], training);
}

/* ---- the layers ------------------------------------------------------------------------------------------ */

#define LAYER(variable, name_, params_, call_)                                                               \
    extern const cnn_layer_class variable;                                                                   \
    const cnn_layer_class variable = {.class = CNN_CLASS("layer", name_, NULL, augmentation, params_),       \
                                      .min_inputs = 1,                                                       \
                                      .max_inputs = 1,                                                       \
                                      .augments = true,                                                      \
                                      .init = init,                                                          \
                                      .call = call_}

/*** In training, mirrors each picture or not, by chance; in inference passes x on.
Each direction of the mode is thrown for by itself, so that "horizontal_and_vertical" leaves one picture of four as it
is. x [N,H,W,C], or one picture [H,W,C], of any dtype, to the same shape, float32. Called by hand it flips too, unless
told `training = false`.
@class cnn.layers.RandomFlip
@usage
cnn.utils.set_random_seed(1)
x = cnn.arange{3}:reshape{1, 3, 1}
flip = layers.RandomFlip{"horizontal"}
flip(x):reshape{3}
--> float32 (3,)
--> [2. 1. 0.]
flip(x, {training = false}):reshape{3}
--> float32 (3,)
--> [0. 1. 2.]
*/
LAYER(cnn_layer_random_flip, "RandomFlip", flip_params, call_flip);

/*** In training, turns each picture by a random angle; in inference passes x on.
The factor counts whole turns: 0.1 is from -36° to 36°, {0, 0.25} up to a quarter counter-clockwise. What comes in
from beyond the edge is, by fill_mode, the picture mirrored ("reflect"), again ("wrap"), its nearest cell ("nearest")
or fill_value ("constant"). x [N,H,W,C], or one picture [H,W,C], of any dtype, to the same shape, float32. Called by
hand it turns too, unless told `training = false`.
@class cnn.layers.RandomRotation
@raise a factor beyond -1 to 1
@usage
quarter = layers.RandomRotation{{0.25, 0.25}}
quarter(cnn.tensor{1, 2, 3, 4}:reshape{2, 2, 1}):reshape{2, 2}
--> float32 (2, 2)
--> [[2. 4.]
-->  [1. 3.]]
layers.RandomRotation{36}
--> error: RandomRotation: 'factor': expected a number from -1 to 1, or two: {low, high}, got 36
*/
LAYER(cnn_layer_random_rotation, "RandomRotation", rotation_params, call_rotation);

/*** In training, zooms in or out of each picture by a random factor; in inference passes x on.
As in Keras above 0 zooms out: 0.2 is from 20 % more seen, everything smaller, to 20 % less; {-0.3, -0.1} only zooms
in. Without width_factor the proportion stays. What lies beyond the edge is chosen by fill_mode, as for
RandomRotation. x [N,H,W,C], or one picture [H,W,C], of any dtype, to the same shape, float32. Called by hand it zooms
too, unless told `training = false`.
@class cnn.layers.RandomZoom
@raise a factor beyond -1 to 1
@usage
zoom = layers.RandomZoom{{-0.5, -0.5}, interpolation = "nearest"}      -- always in, twice as large
zoom(cnn.arange{16}:reshape{4, 4, 1}):reshape{4, 4}
--> float32 (4, 4)
--> [[ 5.  5.  6.  6.]
-->  [ 5.  5.  6.  6.]
-->  [ 9.  9. 10. 10.]
-->  [ 9.  9. 10. 10.]]
*/
LAYER(cnn_layer_random_zoom, "RandomZoom", zoom_params, call_zoom);

/*** In training, moves each picture down or up and to the sides by a random part of its size; in inference passes x on.

0.1 is up to a tenth either way; {0, 0.1} down alone, or for width_factor to the right. What comes in is chosen by
fill_mode, as for RandomRotation. x [N,H,W,C], or one picture [H,W,C], of any dtype, to the same shape, float32.
Called by hand it moves pictures too, unless told `training = false`.
@class cnn.layers.RandomTranslation
@raise a factor beyond -1 to 1
@usage
right = layers.RandomTranslation{0, {0.25, 0.25}, fill_mode = "constant"}
right(cnn.tensor{1, 2, 3, 4}:reshape{1, 4, 1}):reshape{4}
--> float32 (4,)
--> [0. 1. 2. 3.]
*/
LAYER(cnn_layer_random_translation, "RandomTranslation", translation_params, call_translation);

/*** In training, shears each picture by a random amount; in inference passes x on.
With x_factor 0.5 each row is shifted by up to half a cell against the one above, either way, so that upright lines
lean; y_factor does so to columns. The first row and column stay. What comes in is chosen by fill_mode, as for
RandomRotation. x [N,H,W,C], or one picture [H,W,C], of any dtype, to the same shape, float32. Called by hand it
shears too, unless told `training = false`.
@class cnn.layers.RandomShear
@raise a factor beyond -1 to 1
@usage
cnn.utils.set_random_seed(1)
shear = layers.RandomShear{x_factor = {1, 1}, fill_mode = "constant"}
shear(cnn.ones{3, 4, 1}):reshape{3, 4}
--> float32 (3, 4)
--> [[1. 1. 1. 1.]
-->  [1. 1. 1. 0.]
-->  [1. 1. 0. 0.]]
*/
LAYER(cnn_layer_random_shear, "RandomShear", shear_params, call_shear);

/*** In training, multiplies by a random factor how far values are from their mean; in inference passes x on.
(x - mean) · f + mean for each channel of each picture, f from 1 - factor to 1 + factor, or of {down, up} from 1 -
down to 1 + up; then kept within value_range. x [N,H,W,C], or one picture [H,W,C], of any dtype, to the same shape,
float32. Called by hand it works too, unless told `training = false`.
@class cnn.layers.RandomContrast
@raise a factor that is negative or takes more than 1 away; a value_range that is not two different numbers
@usage
cnn.utils.set_random_seed(1)
contrast = layers.RandomContrast{0.5}
contrast(cnn.tensor{100, 150}:reshape{1, 2, 1}):reshape{2}
--> float32 (2,)
--> [ 97.9533  152.04668]
*/
LAYER(cnn_layer_random_contrast, "RandomContrast", contrast_params, call_contrast);

/*** In training, adds a random number to all values of each picture; in inference passes x on.
The factor counts in parts of value_range, {0, 255} unless given: 0.2 adds up to 51 or takes it away; results are kept
within the range. Pictures that were rescaled to 0..1 want value_range = {0, 1}. x [N,H,W,C], or one picture [H,W,C],
of any dtype, to the same shape, float32. Called by hand it works too, unless told `training = false`.
@class cnn.layers.RandomBrightness
@raise a factor beyond -1 to 1; a value_range that is not two different numbers
@usage
layers.RandomBrightness{{0.2, 0.2}}(cnn.tensor{0, 100, 250}:reshape{1, 3, 1}):reshape{3}
--> float32 (3,)
--> [ 51. 151. 255.]
*/
LAYER(cnn_layer_random_brightness, "RandomBrightness", brightness_params, call_brightness);
