/* Rotation, zoom, translation and shear of pictures by random amounts, as Keras's layers define them. In inference x as
 * it is. */
#include "ops/augment.h"
#include "ops/shape.h"
#include "base/status.h"
#include "image/warp.h"

#include <math.h>
#include <string.h>

static cnn_status infer(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                        cnn_op_info *info) {
    (void)attributes, (void)n_inputs;
    return cnn_augment_infer(&cnn_op_random_warp, inputs[0], info);
}

static double between(double low, double high, double number) {
    return low + (high - low) * number;
}

/* Where the pixels of picture n come from. A zoom of 0.5 shows half as much again, smaller; a shear, about the first
 * pixel and not the middle, goes either way. */
static cnn_affine transform(const cnn_op_call *call, int64_t n) {
    const double turn = 6.283185307179586;
    const cnn_random_warp *a = call->attributes;
    int64_t height = call->inputs[0]->shape[1], width = call->inputs[0]->shape[2];
    double numbers[4];
    cnn_augment_draw((cnn_augmentation)a->kind, a->seed, call->step, call->first_sample + n, numbers);
    double down = between(a->height_low, a->height_high, numbers[0]);
    double across = a->keep_aspect ? down : between(a->width_low, a->width_high, numbers[1]);
    double sign = numbers[2] < 0.5 ? 1 : -1;
    switch (a->kind) {
    case CNN_ROTATION:
        return cnn_affine_centred(cnn_affine_rotation(turn * down), height, width);
    case CNN_ZOOM:
        return cnn_affine_centred((cnn_affine){.xx = 1 + across, .yy = 1 + down}, height, width);
    case CNN_TRANSLATION:
        return cnn_affine_translation(across * (double)width, down * (double)height);
    default:
        return cnn_affine_shear(sign * across, sign * down);
    }
}

static cnn_warp warp_of(const cnn_op_call *call, int64_t n) {
    const cnn_random_warp *a = call->attributes;
    const int64_t *shape = call->inputs[0]->shape;
    return (cnn_warp){.in_height = shape[1],
                      .in_width = shape[2],
                      .out_height = shape[1],
                      .out_width = shape[2],
                      .channels = shape[3],
                      .at = transform(call, n),
                      .options = {.method = (cnn_interpolation)a->interpolation,
                                  .fill = (cnn_fill)a->fill_mode,
                                  .value = a->fill_value}};
}

static cnn_status forward(const cnn_op_call *call) {
    const cnn_tensor *x = call->inputs[0];
    int64_t size = cnn_sample_size(x);
    if (!call->training) {
        memcpy(call->output->data, x->data, cnn_tensor_bytes(x));
        return CNN_OK;
    }
    for (int64_t n = 0; n < x->shape[0]; n++) {
        cnn_warp warp = warp_of(call, n);
        cnn_warp_picture(&warp, cnn_f32(x) + n * size, cnn_f32(call->output) + n * size);
    }
    return CNN_OK;
}

static cnn_status backward(const cnn_op_call *call) {
    const cnn_tensor *dy = call->grad_output;
    cnn_tensor *dx = call->grad_inputs[0];
    if (!dx) return CNN_OK;
    if (!call->training) {
        memcpy(dx->data, dy->data, cnn_tensor_bytes(dx));
        return CNN_OK;
    }
    int64_t size = cnn_sample_size(dx);
    for (int64_t n = 0; n < dx->shape[0]; n++) {
        cnn_warp warp = warp_of(call, n);
        cnn_warp_picture_grad(&warp, cnn_f32(dy) + n * size, cnn_f32(dx) + n * size);
    }
    return CNN_OK;
}

static const cnn_param params[] = {
    CNN_PARAM(CHOICE, cnn_random_warp, kind, NULL, .choices = "rotation zoom translation shear",
              .help = "'rotation', 'zoom', 'translation' or 'shear'"),
    CNN_PARAM(FLOAT, cnn_random_warp, height_low, "0",
              .help = "the least: of whole turns counter-clockwise, or in parts of the height"),
    CNN_PARAM(FLOAT, cnn_random_warp, height_high, "0", .help = "the most"),
    CNN_PARAM(FLOAT, cnn_random_warp, width_low, "0", .help = "the least, in parts of the width"),
    CNN_PARAM(FLOAT, cnn_random_warp, width_high, "0", .help = "the most"),
    CNN_PARAM(BOOL, cnn_random_warp, keep_aspect, "false", .help = "the width's number is the height's"),
    CNN_PARAM(CHOICE, cnn_random_warp, fill_mode, "\"reflect\"", .choices = "constant nearest reflect wrap",
              .help = "what lies around pictures: 'constant', 'nearest', 'reflect' or 'wrap'"),
    CNN_PARAM(CHOICE, cnn_random_warp, interpolation, "\"bilinear\"", .choices = "nearest bilinear",
              .help = "'nearest' or 'bilinear'"),
    CNN_PARAM(FLOAT, cnn_random_warp, fill_value, "0", .help = "around pictures where 'constant'"),
    CNN_PARAM(INT, cnn_random_warp, seed, "0", .help = "with the step, chooses the amounts"),
    {0}};

const cnn_op cnn_op_random_warp = {.class = CNN_CLASS("op", "random_warp", NULL, cnn_random_warp, params),
                                   .min_inputs = 1,
                                   .max_inputs = 1,
                                   .per_sample = true,
                                   .random = true,
                                   .infer = infer,
                                   .forward = forward,
                                   .backward = backward};
