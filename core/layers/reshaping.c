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

static const cnn_param flatten_params[] = {
    {.name = "data_format", .type = CNN_PARAM_CHOICE, .offset = offsetof(flatten, data_format),
     .fallback = "\"channels_last\"", .choices = "channels_last", .nullable = true, .help = "only 'channels_last'"},
    CNN_LAYER_PARAMS,
    {0}};

static cnn_status call_flatten(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n, bool training) {
    (void)layer, (void)n;
    return cnn_op_apply(out, &cnn_op_flatten, NULL, inputs, 1, training);
}

extern const cnn_layer_class cnn_layer_flatten, cnn_layer_reshape, cnn_layer_zero_padding2d, cnn_layer_rescaling;

const cnn_layer_class cnn_layer_flatten = {
    .class = {.kind = "layer", .name = "Flatten", .size = sizeof(flatten), .params = flatten_params,
              .help = "Each sample as one row: x [N,…] to [N, product of the others]."},
    .min_inputs = 1, .max_inputs = 1, .call = call_flatten};

/* ---- Reshape --------------------------------------------------------------------------------------------- */

typedef struct reshape {
    cnn_layer layer;
    cnn_shape target_shape;
} reshape;

static const cnn_param reshape_params[] = {
    {.name = "target_shape", .type = CNN_PARAM_SHAPE, .offset = offsetof(reshape, target_shape),
     .help = "sizes of a sample; one may be -1"},
    CNN_LAYER_PARAMS,
    {0}};

static cnn_status call_reshape(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n, bool training) {
    (void)n;
    cnn_reshape_op attributes = {.class = &cnn_op_reshape.class, .target_shape = ((reshape *)layer)->target_shape,
                                 .keep_batch = true};
    return cnn_op_apply(out, &cnn_op_reshape, &attributes, inputs, 1, training);
}

const cnn_layer_class cnn_layer_reshape = {
    .class = {.kind = "layer", .name = "Reshape", .size = sizeof(reshape), .params = reshape_params,
              .help = "The same elements in another shape: x [N,…] to [N,target_shape…]."},
    .min_inputs = 1, .max_inputs = 1, .call = call_reshape};

/* ---- ZeroPadding2D --------------------------------------------------------------------------------------- */

typedef struct padding2d {
    cnn_layer layer;
    cJSON *padding;
    int data_format;
    int sides[4]; /* top, bottom, left, right */
} padding2d;

static const cnn_param padding_params[] = {
    {.name = "padding", .type = CNN_PARAM_JSON, .offset = offsetof(padding2d, padding), .fallback = "1",
     .help = "cells on all sides; or {rows, columns}; or {{top, bottom}, {left, right}}"},
    {.name = "data_format", .type = CNN_PARAM_CHOICE, .offset = offsetof(padding2d, data_format),
     .fallback = "\"channels_last\"", .choices = "channels_last", .nullable = true, .help = "only 'channels_last'"},
    CNN_LAYER_PARAMS,
    {0}};

/* A number for both ends of an axis, or two. */
static bool read_ends(const cJSON *spec, int ends[2]) {
    const cJSON *first = spec, *second = spec;
    if (cJSON_IsArray(spec)) {
        if (cJSON_GetArraySize(spec) != 2) return false;
        first = spec->child;
        second = first->next;
    }
    if (!cJSON_IsNumber(first) || !cJSON_IsNumber(second)) return false;
    ends[0] = first->valueint;
    ends[1] = second->valueint;
    return ends[0] >= 0 && ends[1] >= 0 && ends[0] == first->valuedouble && ends[1] == second->valuedouble;
}

static cnn_status init_padding(cnn_layer *layer) {
    padding2d *self = (padding2d *)layer;
    const cJSON *rows = self->padding, *columns = self->padding;
    if (cJSON_IsArray(rows) && cJSON_GetArraySize(rows) == 2) {
        columns = rows->child->next;
        rows = rows->child;
    }
    if (read_ends(rows, self->sides) && read_ends(columns, self->sides + 2)) return CNN_OK;
    return cnn_fail(CNN_ERROR_ARGUMENT, "ZeroPadding2D: 'padding' must be a count, {rows, columns} or "
                                        "{{top, bottom}, {left, right}}");
}

static cnn_status call_padding(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n, bool training) {
    const int *sides = ((padding2d *)layer)->sides;
    (void)n;
    CNN_TRY(cnn_layer_expect_rank(layer, inputs[0], 4, "[N,H,W,C]"));
    cnn_zero_pad2d attributes = {&cnn_op_zero_pad2d.class, sides[0], sides[1], sides[2], sides[3]};
    return cnn_op_apply(out, &cnn_op_zero_pad2d, &attributes, inputs, 1, training);
}

const cnn_layer_class cnn_layer_zero_padding2d = {
    .class = {.kind = "layer", .name = "ZeroPadding2D", .size = sizeof(padding2d), .params = padding_params,
              .help = "Zeros around pictures: x [N,H,W,C] to [N,top+H+bottom,left+W+right,C]."},
    .min_inputs = 1, .max_inputs = 1, .init = init_padding, .call = call_padding};

/* ---- Rescaling ------------------------------------------------------------------------------------------- */

typedef struct rescaling {
    cnn_layer layer;
    double scale, offset;
} rescaling;

static const cnn_param rescaling_params[] = {
    {.name = "scale", .type = CNN_PARAM_FLOAT, .offset = offsetof(rescaling, scale), .help = "factor: 1/255 for bytes"},
    {.name = "offset", .type = CNN_PARAM_FLOAT, .offset = offsetof(rescaling, offset), .fallback = "0",
     .help = "added after the factor"},
    CNN_LAYER_PARAMS,
    {0}};

static cnn_status call_rescaling(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n, bool training) {
    const rescaling *self = (rescaling *)layer;
    (void)n;
    cnn_rescaling attributes = {&cnn_op_rescaling.class, self->scale, self->offset};
    return cnn_op_apply(out, &cnn_op_rescaling, &attributes, inputs, 1, training);
}

const cnn_layer_class cnn_layer_rescaling = {
    .class = {.kind = "layer", .name = "Rescaling", .size = sizeof(rescaling), .params = rescaling_params,
              .help = "x·scale + offset, of the same shape."},
    .min_inputs = 1, .max_inputs = 1, .call = call_rescaling};
