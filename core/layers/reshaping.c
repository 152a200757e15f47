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
                                                     .help = "only 'channels_last'"),
                                           CNN_LAYER_PARAMS,
                                           {0}};

static cnn_status call_flatten(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n,
                               bool training) {
    (void)layer, (void)n;
    return cnn_op_apply(out, &cnn_op_flatten, NULL, inputs, 1, training);
}

extern const cnn_layer_class cnn_layer_flatten, cnn_layer_reshape, cnn_layer_zero_padding2d,
    cnn_layer_rescaling;

const cnn_layer_class cnn_layer_flatten = {
    .class = CNN_CLASS("layer", "Flatten", NULL, flatten, flatten_params,
                       "Each sample as one row: x [N,…] to [N, product of the others]."),
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

const cnn_layer_class cnn_layer_reshape = {
    .class = CNN_CLASS("layer", "Reshape", NULL, reshape, reshape_params,
                       "The same elements in another shape: x [N,…] to [N,target_shape…]."),
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
              .nullable = true, .help = "only 'channels_last'"),
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

const cnn_layer_class cnn_layer_zero_padding2d = {
    .class = CNN_CLASS("layer", "ZeroPadding2D", NULL, padding2d, padding_params,
                       "Zeros around pictures: x [N,H,W,C] to [N,top+H+bottom,left+W+right,C]."),
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

const cnn_layer_class cnn_layer_rescaling = {.class = CNN_CLASS("layer", "Rescaling", NULL, rescaling,
                                                                rescaling_params,
                                                                "x·scale + offset, of the same shape."),
                                             .min_inputs = 1,
                                             .max_inputs = 1,
                                             .call = call_rescaling};
