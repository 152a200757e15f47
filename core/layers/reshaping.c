/* Layers that only rearrange: Flatten, Reshape, ZeroPadding2D; and Rescaling, which is as simple. */
#include "layers/layer.h"
#include "base/status.h"
#include "ops/activation.h"
#include "ops/shape.h"

/* ---- Flatten --------------------------------------------------------------------------------------------- */

typedef struct flatten {
    cnn_layer layer;
    int data_format;
} flatten;

static const cnn_param flatten_params[] = {CNN_PARAM(CHOICE, flatten, data_format, "\"channels_last\"",
                                                     .choices = "channels_last", .nullable = true,
                                                     .help = "channels come last, nothing else"),
                                           CNN_LAYER_PARAMS,
                                           {0}};

static cnn_status call_flatten(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n,
                               bool training) {
    (void)layer, (void)n;
    return cnn_op_apply(out, &cnn_op_flatten, NULL, inputs, 1, training);
}

extern const cnn_layer_class cnn_layer_flatten, cnn_layer_reshape, cnn_layer_zero_padding2d,
    cnn_layer_rescaling;

/*** Each sample as one row: x [N,…] to [N, product of the other sizes].
It stands between the convolutions of a network and its Dense layers. Elements keep their order: of a picture,
channels go fastest, then columns, then rows.
@class cnn.layers.Flatten
@usage
layers.Flatten{}(cnn.zeros{10, 3, 3, 64}):shape()  --> {10, 576}
layers.Flatten{}(cnn.tensor{{{1, 2}, {3, 4}}, {{5, 6}, {7, 8}}})
--> float32 (2, 4)
--> [[1. 2. 3. 4.]
-->  [5. 6. 7. 8.]]
*/
const cnn_layer_class cnn_layer_flatten = {.class =
                                               CNN_CLASS("layer", "Flatten", NULL, flatten, flatten_params),
                                           .min_inputs = 1,
                                           .max_inputs = 1,
                                           .call = call_flatten};

/* ---- Reshape --------------------------------------------------------------------------------------------- */

typedef struct reshape {
    cnn_layer layer;
    cnn_shape target_shape;
} reshape;

static const cnn_param reshape_params[] = {
    CNN_PARAM(SHAPE, reshape, target_shape, NULL, .low = -1, .help = "sizes of a sample; one may be -1"),
    CNN_LAYER_PARAMS,
    {0}};

static cnn_status call_reshape(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n,
                               bool training) {
    (void)n;
    cnn_reshape_op attributes = {
        .class = &cnn_op_reshape.class, .target_shape = ((reshape *)layer)->target_shape, .keep_batch = true};
    return cnn_op_apply(out, &cnn_op_reshape, &attributes, inputs, 1, training);
}

/*** The same elements in another shape: x [N,…] to [N, target_shape…].
One size may be -1: it becomes what is left.
@class cnn.layers.Reshape
@raise a shape of another number of elements
@usage
layers.Reshape{{7, 7, 64}}(cnn.zeros{2, 3136}):shape()  --> {2, 7, 7, 64}
layers.Reshape{{-1, 4}}(cnn.zeros{2, 6, 6}):shape()     --> {2, 9, 4}
layers.Reshape{{5}}(cnn.zeros{2, 6})  --> error: reshape_2: a sample of shape (6,) does not fit into (5,)
*/
const cnn_layer_class cnn_layer_reshape = {.class =
                                               CNN_CLASS("layer", "Reshape", NULL, reshape, reshape_params),
                                           .min_inputs = 1,
                                           .max_inputs = 1,
                                           .call = call_reshape};

/* ---- ZeroPadding2D --------------------------------------------------------------------------------------- */

typedef struct padding2d {
    cnn_layer layer;
    cJSON *padding;
    int data_format;
    int sides[4]; /* top, bottom, left, right */
} padding2d;

static const cnn_param padding_params[] = {
    CNN_PARAM(JSON, padding2d, padding, "1", .spec = &cnn_sides_spec,
              .help = "cells on all sides; or {rows, columns}; or {{top, bottom}, {left, right}}"),
    CNN_PARAM(CHOICE, padding2d, data_format, "\"channels_last\"", .choices = "channels_last",
              .nullable = true, .help = "channels come last, nothing else"),
    CNN_LAYER_PARAMS,
    {0}};

static cnn_status init_padding(cnn_layer *layer) {
    padding2d *self = (padding2d *)layer;
    cnn_sides_read(self->padding, self->sides); /* checked when it was read */
    return CNN_OK;
}

static cnn_status call_padding(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n,
                               bool training) {
    const int *sides = ((padding2d *)layer)->sides;
    (void)n;
    CNN_TRY(cnn_layer_expect_rank(layer, inputs[0], 4, "[N,H,W,C]"));
    cnn_zero_pad2d attributes = {&cnn_op_zero_pad2d.class, sides[0], sides[1], sides[2], sides[3]};
    return cnn_op_apply(out, &cnn_op_zero_pad2d, &attributes, inputs, 1, training);
}

/*** Zeros around pictures: x [N,H,W,C] to [N, top+H+bottom, left+W+right, C].
@class cnn.layers.ZeroPadding2D
@raise an input that is not [N,H,W,C]; a negative number of cells
@usage
layers.ZeroPadding2D{1}(cnn.ones{1, 1, 2, 1}):reshape{3, 4}
--> float32 (3, 4)
--> [[0. 0. 0. 0.]
-->  [0. 1. 1. 0.]
-->  [0. 0. 0. 0.]]
layers.ZeroPadding2D{{2, 3}}(cnn.ones{1, 10, 10, 3}):shape()            --> {1, 14, 16, 3}
layers.ZeroPadding2D{{{0, 1}, {0, 1}}}(cnn.ones{1, 10, 10, 3}):shape()  --> {1, 11, 11, 3}
*/
const cnn_layer_class cnn_layer_zero_padding2d = {
    .class = CNN_CLASS("layer", "ZeroPadding2D", NULL, padding2d, padding_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .init = init_padding,
    .call = call_padding};

/* ---- Rescaling ------------------------------------------------------------------------------------------- */

typedef struct rescaling {
    cnn_layer layer;
    double scale, offset;
} rescaling;

static const cnn_param rescaling_params[] = {
    CNN_PARAM(FLOAT, rescaling, scale, NULL, .help = "factor: 1/255 for bytes"),
    CNN_PARAM(FLOAT, rescaling, offset, "0", .help = "added after the factor"),
    CNN_LAYER_PARAMS,
    {0}};

static cnn_status call_rescaling(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n,
                                 bool training) {
    const rescaling *self = (rescaling *)layer;
    (void)n;
    cnn_rescaling attributes = {&cnn_op_rescaling.class, self->scale, self->offset};
    return cnn_op_apply(out, &cnn_op_rescaling, &attributes, inputs, 1, training);
}

/*** Multiplies with a number and adds another: x · scale + offset, as float32 of the same shape.
In front of a model it makes small numbers of bytes, and whoever uses the model can't forget it. It does so in
training and in inference; x may be of any dtype. `Rescaling{2 / 255, offset = -1}` gives numbers from -1 to 1.
@class cnn.layers.Rescaling
@usage
bytes = cnn.tensor({{0, 85, 255}}, "uint8")
layers.Rescaling{1 / 255}(bytes)
--> float32 (1, 3)
--> [[0.         0.33333334 1.        ]]
*/
const cnn_layer_class cnn_layer_rescaling = {
    .class = CNN_CLASS("layer", "Rescaling", NULL, rescaling, rescaling_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .call = call_rescaling};
