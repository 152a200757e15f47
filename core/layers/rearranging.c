/* Layers that move pictures' cells: Permute, Cropping2D, UpSampling2D. */
#include "layers/layer.h"
#include "base/status.h"
#include "base/text.h"
#include "ops/index.h"
#include "ops/shape.h"
#include "ops/upsample.h"

typedef struct rearranging {
    cnn_layer layer;
    cnn_shape dims;
    cJSON *cropping;
    int sides[4]; /* top, bottom, left, right */
    int size[2];
    int interpolation, data_format;
} rearranging;

#define FORMAT_PARAM                                                                                         \
    CNN_PARAM(CHOICE, rearranging, data_format, "\"channels_last\"", .choices = "channels_last",             \
              .nullable = true, .help = "channels come last, nothing else")

/* ---- Permute ------------------------------------------------------------------------------------------- */

static const cnn_param permute_params[] = {
    CNN_PARAM(SHAPE, rearranging, dims, NULL,
              .help = "for each axis of a sample of the output, which of the input it is, from 1"),
    CNN_LAYER_PARAMS,
    {0}};

static cnn_status init_permute(cnn_layer *layer) {
    const cnn_shape *dims = &((rearranging *)layer)->dims;
    char text[CNN_SHAPE_TEXT];
    unsigned seen = 0;
    for (int i = 0; i < dims->rank; i++)
        if (dims->sizes[i] >= 1 && dims->sizes[i] <= dims->rank) seen |= 1u << dims->sizes[i];
    if (dims->rank >= 1 && dims->rank < CNN_MAX_RANK && seen == (2u << dims->rank) - 2) return CNN_OK;
    return cnn_fail(CNN_ERROR_ARGUMENT, "Permute: 'dims' must be 1 to %d in some order, got %s",
                    dims->rank < 1 ? 1 : dims->rank,
                    cnn_shape_text(text, sizeof text, dims->rank, dims->sizes));
}

static cnn_status call_permute(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n,
                               bool training) {
    const cnn_shape *dims = &((rearranging *)layer)->dims;
    (void)n;
    CNN_TRY(cnn_layer_expect_rank(layer, inputs[0], dims->rank + 1, "(the batch's and those of dims)"));
    cnn_transpose_op a = {.class = &cnn_op_transpose.class, .axes = {.rank = dims->rank + 1}};
    for (int i = 0; i < dims->rank; i++) a.axes.sizes[i + 1] = dims->sizes[i];
    return cnn_op_apply(out, &cnn_op_transpose, &a, inputs, 1, training);
}

extern const cnn_layer_class cnn_layer_permute, cnn_layer_cropping2d, cnn_layer_up_sampling2d;

/*** The axes of a sample in another order.

dims says for each axis of the result which one of the input it is, counted from 1 without the batch's: {2, 1, 3}
exchanges rows and columns.
@class cnn.layers.Permute
@raise dims that are not 1, 2, … in some order, or of another number of axes than a sample has
@usage
layers.Permute{{2, 1}}(cnn.tensor{{{1, 2, 3}, {4, 5, 6}}})
--> float32 (1, 3, 2)
--> [[[1. 4.]
-->   [2. 5.]
-->   [3. 6.]]]
layers.Permute{{3, 1, 2}}(cnn.zeros{8, 28, 20, 3}):shape()  --> {8, 3, 28, 20}
layers.Permute{{1, 3}}  --> error: Permute: 'dims' must be 1 to 2 in some order, got (1, 3)
*/
const cnn_layer_class cnn_layer_permute = {
    .class = CNN_CLASS("layer", "Permute", NULL, rearranging, permute_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .init = init_permute,
    .call = call_permute};

/* ---- Cropping2D ---------------------------------------------------------------------------------------- */

static const cnn_param cropping_params[] = {
    CNN_PARAM(JSON, rearranging, cropping, "0", .spec = &cnn_sides_spec,
              .help = "cells off all sides; or {rows, columns}; or {{top, bottom}, {left, right}}"),
    FORMAT_PARAM,
    CNN_LAYER_PARAMS,
    {0}};

static cnn_status init_cropping(cnn_layer *layer) {
    rearranging *self = (rearranging *)layer;
    cnn_sides_read(self->cropping, self->sides); /* checked when it was read */
    return CNN_OK;
}

static cnn_status call_cropping(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n,
                                bool training) {
    const rearranging *self = (rearranging *)layer;
    const cnn_tensor *x = inputs[0];
    char shape[CNN_SHAPE_TEXT];
    (void)n;
    CNN_TRY(cnn_layer_expect_rank(layer, x, 4, "[N,H,W,C]"));
    cnn_slice_op a = {.class = &cnn_op_slice.class,
                      .from = {4, {0, self->sides[0], self->sides[2], 0}},
                      .to = {4, {-1, x->shape[1] - self->sides[1], x->shape[2] - self->sides[3], -1}},
                      .step = {.rank = -1}};
    for (int i = 1; i < 3; i++)
        if (a.to.sizes[i] <= a.from.sizes[i])
            return cnn_fail(CNN_ERROR_SHAPE, "Cropping2D: nothing is left of an input of shape %s",
                            cnn_shape_text(shape, sizeof shape, x->rank, x->shape));
    return cnn_op_apply(out, &cnn_op_slice, &a, inputs, 1, training);
}

/*** Takes rows and columns off the edges of pictures: x [N,H,W,C] to [N, H-top-bottom, W-left-right, C].
@class cnn.layers.Cropping2D
@raise an input that is not [N,H,W,C], or of which nothing would be left
@usage
layers.Cropping2D{{1, 2}}(cnn.zeros{1, 10, 10, 3}):shape()  --> {1, 8, 6, 3}
layers.Cropping2D{{{0, 1}, {2, 0}}}(cnn.arange{12, dtype = "float32"}:reshape{1, 3, 4, 1}):reshape{2, 2}
--> float32 (2, 2)
--> [[2. 3.]
-->  [6. 7.]]
layers.Cropping2D{5}(cnn.zeros{1, 10, 10, 3})
--> error: cropping2d_2: nothing is left of an input of shape (1, 10, 10, 3)
*/
const cnn_layer_class cnn_layer_cropping2d = {
    .class = CNN_CLASS("layer", "Cropping2D", NULL, rearranging, cropping_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .init = init_cropping,
    .call = call_cropping};

/* ---- UpSampling2D -------------------------------------------------------------------------------------- */

static const cnn_param upsampling_params[] = {
    CNN_PARAM(PAIR, rearranging, size, "2", .low = 1, .help = "how many times rows and columns"),
    FORMAT_PARAM,
    CNN_PARAM(CHOICE, rearranging, interpolation, "\"nearest\"", .choices = "nearest bilinear",
              .help = "'nearest': each cell repeated; 'bilinear': straight lines between cells' centres"),
    CNN_LAYER_PARAMS,
    {0}};

static cnn_status call_upsampling(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n,
                                  bool training) {
    const rearranging *self = (rearranging *)layer;
    (void)n;
    CNN_TRY(cnn_layer_expect_rank(layer, inputs[0], 4, "[N,H,W,C]"));
    cnn_upsample2d a = {&cnn_op_upsample2d.class, {self->size[0], self->size[1]}, self->interpolation};
    return cnn_op_apply(out, &cnn_op_upsample2d, &a, inputs, 1, training);
}

/*** Makes pictures larger by whole factors: x [N,H,W,C] to [N, H·rows, W·columns, C].
Each cell is repeated, or with interpolation "bilinear" neighbours go over into each other. There are no weights.
@class cnn.layers.UpSampling2D
@raise an input that is not [N,H,W,C]
@usage
layers.UpSampling2D{2}(cnn.tensor{1, 2, 3, 4}:reshape{1, 2, 2, 1}):reshape{4, 4}
--> float32 (4, 4)
--> [[1. 1. 2. 2.]
-->  [1. 1. 2. 2.]
-->  [3. 3. 4. 4.]
-->  [3. 3. 4. 4.]]
layers.UpSampling2D{{1, 2}, interpolation = "bilinear"}(cnn.tensor{0, 8}:reshape{1, 1, 2, 1}):reshape{4}
--> float32 (4,)
--> [0. 2. 6. 8.]
*/
const cnn_layer_class cnn_layer_up_sampling2d = {
    .class = CNN_CLASS("layer", "UpSampling2D", NULL, rearranging, upsampling_params),
    .min_inputs = 1,
    .max_inputs = 1,
    .call = call_upsampling};
