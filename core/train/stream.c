#include "train/stream.h"
#include "base/status.h"

/* The element's parts as inputs, labels and weights. Labels may be missing, for predict. */
static cnn_status take_apart(cnn_samples *batch, const cnn_model *model, const char *who,
                             const cnn_element *e) {
    int inputs = model->n_inputs > 0 ? model->n_inputs : 1,
        outputs = model->n_outputs > 0 ? model->n_outputs : 1;
    int labels = e->count > inputs ? outputs : 0, weights = e->count - inputs - labels;
    if (weights < 0 || (weights > 1 && weights != outputs))
        return cnn_fail(CNN_ERROR_ARGUMENT,
                        "%s: model '%s' has %d input%s and %d output%s; the dataset's elements have %d parts",
                        who, model->layer.name, inputs, inputs == 1 ? "" : "s", outputs,
                        outputs == 1 ? "" : "s", e->count);
    batch->x = (cnn_tensor_list){e->parts, inputs};
    batch->y = (cnn_tensor_list){e->parts + inputs, labels};
    batch->weight = (cnn_tensor_list){weights > 0 ? e->parts + inputs + labels : NULL, weights};
    return CNN_OK;
}

static cnn_status check(cnn_stream *s, cnn_model *model, const char *who) {
    CNN_TRY(take_apart(&s->batch, model, who, &s->element));
    cnn_status status = s->batch.y.count > 0 ? cnn_samples_check(model, who, &s->batch)
                                             : cnn_samples_check_x(model, who, s->batch.x);
    const cnn_tensor *x = s->element.parts[0];
    if (status == CNN_ERROR_SHAPE && model->n_inputs > 0 && x->rank == model->inputs[0]->rank - 1)
        return cnn_fail(CNN_ERROR_SHAPE, "%s (is the dataset batched?)", cnn_error_message());
    if (status == CNN_OK) s->batch.count = x->shape[0];
    return status;
}

cnn_status cnn_stream_next(cnn_stream *s, cnn_model *model, const char *who, bool *more) {
    *more = true;
    if (s->fresh) {
        s->fresh = false;
        return CNN_OK;
    }
    cnn_element next = {0};
    cnn_status status = cnn_iterator_next(s->iterator, &next);
    if (status != CNN_OK) return status == CNN_ERROR_CALLBACK ? status : cnn_fail_in(status, who);
    *more = next.count > 0;
    if (!*more) {
        cnn_element_clear(&next);
        return CNN_OK;
    }
    cnn_element_clear(&s->element);
    s->element = next;
    return check(s, model, who);
}

cnn_status cnn_stream_open(cnn_stream *s, cnn_model *model, const char *who, cnn_dataset *dataset,
                           const cnn_iterator_options *options) {
    bool more = false;
    *s = (cnn_stream){0};
    cnn_status status = cnn_iterator_new(&s->iterator, dataset, options);
    if (status == CNN_OK) status = cnn_stream_next(s, model, who, &more);
    if (status == CNN_OK && !more)
        status = cnn_fail(CNN_ERROR_ARGUMENT, "%s: the dataset has no elements", who);
    s->fresh = status == CNN_OK;
    if (status != CNN_OK) cnn_stream_close(s);
    return status;
}

void cnn_stream_close(cnn_stream *s) {
    cnn_iterator_free(s->iterator);
    cnn_element_clear(&s->element);
    *s = (cnn_stream){0};
}
