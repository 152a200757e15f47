/* Pictures made larger by whole factors, cell by cell or bilinearly. */
#include "ops/upsample.h"
#include "ops/shape.h"
#include "base/status.h"
#include "base/text.h"
#include "kernels/kernels.h"

#include <limits.h>

static cnn_upsample geometry(const cnn_op_call *call) {
    const cnn_upsample2d *a = call->attributes;
    const int64_t *shape = call->inputs[0]->shape;
    return (cnn_upsample){.h = (int)shape[1],
                          .w = (int)shape[2],
                          .channels = (int)shape[3],
                          .factor_h = a->size[0],
                          .factor_w = a->size[1],
                          .bilinear = a->interpolation == 1};
}

static cnn_status infer(const void *attributes, const cnn_tensor *const *inputs, int n_inputs,
                        cnn_op_info *info) {
    (void)n_inputs;
    const cnn_upsample2d *a = attributes;
    const cnn_tensor *x = inputs[0];
    char shape[CNN_SHAPE_TEXT];
    cnn_shape_text(shape, sizeof shape, x->rank, x->shape);
    if (x->rank != 4)
        return cnn_fail(CNN_ERROR_SHAPE, "upsample2d: expected an input [N,H,W,C], got shape %s", shape);
    cnn_infer_like(info, x);
    for (int i = 0; i < 2; i++) {
        info->shape[i + 1] *= a->size[i];
        if (info->shape[i + 1] > INT_MAX)
            return cnn_fail(CNN_ERROR_SHAPE, "upsample2d: %d times shape %s is too large", a->size[i], shape);
    }
    return CNN_OK;
}

static cnn_status forward(const cnn_op_call *call) {
    cnn_upsample u = geometry(call);
    cnn_kernel()->upsample(&u, call->inputs[0]->shape[0], cnn_f32(call->inputs[0]), cnn_f32(call->output));
    return CNN_OK;
}

static cnn_status backward(const cnn_op_call *call) {
    cnn_upsample u = geometry(call);
    if (call->grad_inputs[0])
        cnn_kernel()->upsample_grad(&u, call->inputs[0]->shape[0], cnn_f32(call->grad_output),
                                    cnn_f32(call->grad_inputs[0]));
    return CNN_OK;
}

static const cnn_param params[] = {
    CNN_PARAM(PAIR, cnn_upsample2d, size, "2", .low = 1, .help = "how many times rows and columns"),
    CNN_PARAM(CHOICE, cnn_upsample2d, interpolation, "\"nearest\"", .choices = "nearest bilinear",
              .help = "'nearest': each cell repeated; 'bilinear': straight lines between cells' centres"),
    {0}};

/* Pictures made larger by whole factors: x [N,H,W,C] to [N, H·rows, W·columns, C]. */
const cnn_op cnn_op_upsample2d = {.class = CNN_CLASS("op", "upsample2d", NULL, cnn_upsample2d, params),
                                  .min_inputs = 1,
                                  .max_inputs = 1,
                                  .per_sample = true,
                                  .infer = infer,
                                  .forward = forward,
                                  .backward = backward};
