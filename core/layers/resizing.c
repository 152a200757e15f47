/* Layers that give pictures another size: Resizing, CenterCrop and RandomCrop. */
#include "layers/augmentation.h"
#include "base/status.h"
#include "ops/augment.h"

typedef struct resizing {
    cnn_layer layer;
    int height, width;
    int interpolation; /* cnn_interpolation */
    bool crop_to_aspect_ratio;
    int data_format;
    int seed;       /* INT_MIN: none was given */
    int drawn_seed; /* the one used */
} resizing;

#define SIZE_PARAMS                                                                                          \
    CNN_PARAM(INT, resizing, height, NULL, .low = 1, .high = 1 << 24, .help = "rows of the result"),         \
        CNN_PARAM(INT, resizing, width, NULL, .low = 1, .high = 1 << 24, .help = "columns of the result")

static const cnn_param resizing_params[] = {
    SIZE_PARAMS,
    CNN_PARAM(CHOICE, resizing, interpolation, "\"bilinear\"", .choices = "nearest bilinear bicubic area",
              .help = "'nearest', 'bilinear', 'bicubic' or 'area'"),
    CNN_PARAM(BOOL, resizing, crop_to_aspect_ratio, "false",
              .help = "take the longest part in the proportion of the result, rather than distort"),
    CNN_UNSUPPORTED_PARAM("pad_to_aspect_ratio", .derived = true),
    CNN_IGNORED_PARAM("fill_mode"),
    CNN_IGNORED_PARAM("fill_value"),
    CNN_UNSUPPORTED_PARAM("antialias", .derived = true),
    CNN_AUGMENTATION_PARAMS(resizing),
    {0}};

static const cnn_param center_params[] = {SIZE_PARAMS, CNN_AUGMENTATION_PARAMS(resizing), {0}};

static const cnn_param crop_params[] = {
    SIZE_PARAMS, CNN_AUGMENTATION_SEED_PARAM(resizing), CNN_AUGMENTATION_PARAMS(resizing), {0}};

static cnn_status init_crop(cnn_layer *layer) {
    resizing *self = (resizing *)layer;
    self->drawn_seed = cnn_layer_seed(layer, self->seed);
    return CNN_OK;
}

static cnn_status resize(cnn_layer *layer, cnn_tensor **out, cnn_tensor *input, bool training,
                         int interpolation, int crop) {
    const resizing *self = (resizing *)layer;
    cnn_resize attributes = {.class = &cnn_op_resize.class,
                             .height = self->height,
                             .width = self->width,
                             .interpolation = interpolation,
                             .crop = crop};
    return cnn_augmentation_apply(layer, &cnn_op_resize, &attributes, out, input, training);
}

static cnn_status call_resizing(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n,
                                bool training) {
    const resizing *self = (resizing *)layer;
    (void)n;
    return resize(layer, out, inputs[0], training, self->interpolation,
                  self->crop_to_aspect_ratio ? CNN_CROP_ASPECT : CNN_CROP_NONE);
}

static cnn_status call_center(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n,
                              bool training) {
    (void)n;
    return resize(layer, out, inputs[0], training, CNN_BILINEAR, CNN_CROP_CENTER);
}

static cnn_status call_crop(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n,
                            bool training) {
    const resizing *self = (resizing *)layer;
    (void)n;
    cnn_resize attributes = {.class = &cnn_op_random_crop.class,
                             .height = self->height,
                             .width = self->width,
                             .interpolation = CNN_BILINEAR,
                             .seed = self->drawn_seed};
    return cnn_augmentation_apply(layer, &cnn_op_random_crop, &attributes, out, inputs[0], training);
}

extern const cnn_layer_class cnn_layer_resizing, cnn_layer_center_crop, cnn_layer_random_crop;

/*** Pictures of another size: x [N,H,W,C] to [N,height,width,C], in training and in inference.
Interpolation is that of tf.image.resize: "bilinear", "nearest", "bicubic" or "area". The proportion of a picture may
change; with crop_to_aspect_ratio the longest middle part in the proportion of the result is taken before. One picture
[H,W,C] works too, and any dtype; the result is float32.
@class cnn.layers.Resizing
@raise pictures without channels
@usage
layers.Resizing{180, 180}(cnn.zeros({2, 375, 500, 3}, "uint8")):shape()  --> {2, 180, 180, 3}
layers.Resizing{1, 2}(cnn.tensor{0, 2, 4, 6}:reshape{1, 4, 1}):reshape{2}
--> float32 (2,)
--> [1. 5.]
*/
const cnn_layer_class cnn_layer_resizing = {
    .class = CNN_CLASS("layer", "Resizing", NULL, resizing, resizing_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .call = call_resizing};

/*** The middle of pictures: x [N,H,W,C] to [N,height,width,C].
A picture that is smaller than that is resized: the longest middle part in the proportion of the result. One picture
[H,W,C] works too, and any dtype; the result is float32.
@class cnn.layers.CenterCrop
@raise pictures without channels
@usage
layers.CenterCrop{2, 2}(cnn.arange{16}:reshape{4, 4, 1}):reshape{2, 2}
--> float32 (2, 2)
--> [[ 5.  6.]
-->  [ 9. 10.]]
*/
const cnn_layer_class cnn_layer_center_crop = {
    .class = CNN_CLASS("layer", "CenterCrop", NULL, resizing, center_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .call = call_center};

/*** In training, a part of pictures at a random place: x [N,H,W,C] to [N,height,width,C].
It is the same part of all pictures of a batch. In inference, and of pictures that are smaller, it is the longest
middle part in the proportion of the result, resized. Called by hand it crops at random too, unless told `training =
false`. One picture [H,W,C] works too; the result is float32.
@class cnn.layers.RandomCrop
@raise pictures without channels
@usage
cnn.utils.set_random_seed(1)
crop = layers.RandomCrop{2, 2}
crop(cnn.arange{16}:reshape{4, 4, 1}):reshape{2, 2}
--> float32 (2, 2)
--> [[ 8.  9.]
-->  [12. 13.]]
crop(cnn.zeros{8, 32, 48, 3}):shape()  --> {8, 2, 2, 3}
*/
const cnn_layer_class cnn_layer_random_crop = {
    .class = CNN_CLASS("layer", "RandomCrop", NULL, resizing, crop_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .augments = true,
    .init = init_crop,
    .call = call_crop};
