/* fit, evaluate and predict: loops over batches of samples, with what Keras does around them. Data goes to the plan as
 * float32 rows: in place where it lies so already, else gathered into a buffer made once a run. */
#include "train/trainer.h"
#include "train/callback.h"
#include "train/history.h"
#include "train/progress.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/random.h"
#include "base/status.h"
#include "base/text.h"
#include "ops/loss.h"

#include <math.h>
#include <string.h>

/* Samples [first, first+count) of the arrays, in the order of `order` if there is one. */
typedef struct samples {
    cnn_tensor *x, *y;
    const cnn_tensor *weight; /* NULL: all 1 */
    int64_t first, count;
    const int32_t *order; /* positions relative to first, or NULL */
    bool training;
} samples;

/* A run of fit, evaluate or predict. */
typedef struct session {
    cnn_model *model;
    const cnn_fit_options *options;
    int batch_size;
    cnn_progress progress;
    cnn_run_control control, *outer; /* outer: of the run whose callback began this one */
    cnn_metric_state outer_metrics;  /* and what it has measured so far */
    cnn_tensor *held[6];             /* the arrays: callbacks may drop the caller's references */
    char *x_buffer, *y_buffer;       /* batch_size rows each */
    float *weight_buffer;
    const char *names[1 + CNN_MAX_METRICS], *val_names[1 + CNN_MAX_METRICS];
    char *val_text; /* the memory of val_names */
} session;

/* ---- checks -------------------------------------------------------------------------------------------- */

static cnn_status check_x(cnn_model *model, const char *who, const cnn_tensor *x) {
    char got[CNN_SHAPE_TEXT], wanted[CNN_SHAPE_TEXT];
    if (!x) return cnn_fail(CNN_ERROR_ARGUMENT, "%s: missing argument 'x'", who);
    if (!x->data) return cnn_fail(CNN_ERROR_ARGUMENT, "%s: x is a symbolic tensor, it has no values", who);
    if (x->rank < 1 || x->shape[0] == 0) return cnn_fail(CNN_ERROR_SHAPE, "%s: x has no samples", who);
    if (model->n_outputs == 0) {
        cnn_status status = cnn_model_build(model, x->rank, x->shape);
        if (status != CNN_OK) return cnn_fail_in(status, who);
    }
    if (model->n_inputs > 1)
        return cnn_fail(CNN_ERROR_ARGUMENT, "%s: model '%s' has %d inputs, got one", who, model->layer.name,
                        model->n_inputs);
    if (model->n_outputs > 1)
        return cnn_fail(CNN_ERROR_ARGUMENT, "%s: model '%s' has %d outputs; only one is supported", who,
                        model->layer.name, model->n_outputs);
    const cnn_tensor *input = model->inputs[0];
    bool fits = x->rank == input->rank;
    for (int i = 1; fits && i < x->rank; i++) fits = x->shape[i] == input->shape[i];
    if (fits) return CNN_OK;
    return cnn_fail(CNN_ERROR_SHAPE, "%s: model '%s' expects x of shape %s, got %s", who, model->layer.name,
                    cnn_shape_text(wanted, sizeof wanted, input->rank, input->shape),
                    cnn_shape_text(got, sizeof got, x->rank, x->shape));
}

static cnn_status check_y(const char *who, const char *name, const cnn_tensor *x, const cnn_tensor *y) {
    if (!y) return cnn_fail(CNN_ERROR_ARGUMENT, "%s: missing argument '%s'", who, name);
    if (!y->data)
        return cnn_fail(CNN_ERROR_ARGUMENT, "%s: %s is a symbolic tensor, it has no values", who, name);
    if (y->rank < 1 || y->shape[0] != x->shape[0])
        return cnn_fail(CNN_ERROR_SHAPE, "%s: x has %lld samples, %s has %lld", who, (long long)x->shape[0],
                        name, (long long)(y->rank < 1 ? 1 : y->shape[0]));
    return CNN_OK;
}

/* Labels that the loss can take: their shape, and that positions of classes are among them. The loss would find that
 * out itself, but late, and by then shuffling hides which sample it was. */
static cnn_status check_labels(const char *who, const cnn_model *model, const cnn_tensor *y) {
    const void *loss = model->trainer->loss;
    const cnn_op *op = (const cnn_op *)((const cnn_object *)loss)->class;
    const cnn_tensor *output = model->outputs[0], *inputs[] = {output, y};
    cnn_op_info info;
    cnn_status status = cnn_op_infer(op, loss, inputs, 2, false, &info);
    if (status != CNN_OK) return cnn_fail_in(status, who);
    if (op != &cnn_op_sparse_categorical_crossentropy) return CNN_OK;
    int64_t classes = output->shape[output->rank - 1], row = y->size / y->shape[0];
    for (int64_t i = 0; i < y->size; i++) {
        double label = cnn_tensor_get(y, i);
        if (label >= 0 && label < (double)classes && label == floor(label)) continue;
        return cnn_fail(CNN_ERROR_ARGUMENT,
                        "%s: y: label %g of sample %lld of %lld is not a whole number in [0, %lld)", who,
                        label, (long long)(i / row + 1), (long long)y->shape[0], (long long)classes);
    }
    return CNN_OK;
}

static cnn_status check_weight(const char *who, const cnn_tensor *x, const cnn_tensor *weight) {
    if (!weight) return CNN_OK;
    if (weight->rank != 1) return cnn_fail(CNN_ERROR_SHAPE, "%s: sample_weight must have one axis", who);
    if (weight->dtype != CNN_FLOAT32)
        return cnn_fail(CNN_ERROR_DTYPE, "%s: sample_weight must be float32, got %s", who,
                        cnn_dtype_name(weight->dtype));
    return check_y(who, "sample_weight", x, weight);
}

/* What is looked at of samples that have labels. */
static cnn_status check_samples(cnn_model *model, const char *who, const cnn_tensor *x, const cnn_tensor *y,
                                const cnn_tensor *weight) {
    CNN_TRY(check_x(model, who, x));
    CNN_TRY(check_y(who, "y", x, y));
    CNN_TRY(check_weight(who, x, weight));
    return check_labels(who, model, y);
}

static cnn_status check_options(const char *who, const cnn_fit_options *o) {
    if (o->batch_size < 0)
        return cnn_fail(CNN_ERROR_ARGUMENT, "%s: batch_size must be 1 or more, got %d", who, o->batch_size);
    if (o->epochs < 0)
        return cnn_fail(CNN_ERROR_ARGUMENT, "%s: epochs must be 1 or more, got %d", who, o->epochs);
    if (!(o->validation_split >= 0 && o->validation_split < 1))
        return cnn_fail(CNN_ERROR_ARGUMENT, "%s: validation_split must be at least 0 and below 1, got %g",
                        who, o->validation_split);
    return CNN_OK;
}

/* ---- batches ------------------------------------------------------------------------------------------- */

typedef struct gathering {
    const cnn_tensor *from;
    const samples *samples;
    int64_t start; /* of the batch */
    cnn_dtype dtype;
    char *to;
} gathering;

static void gather_rows(void *context, int64_t begin, int64_t end) {
    const gathering *g = context;
    int64_t row = g->from->size / g->from->shape[0];
    size_t in_row = (size_t)row * cnn_dtype_size(g->from->dtype),
           out_row = (size_t)row * cnn_dtype_size(g->dtype);
    for (int64_t i = begin; i < end; i++) {
        int64_t at = g->samples->order ? g->samples->order[g->start + i] : g->start + i;
        char *in = (char *)g->from->data + (size_t)(g->samples->first + at) * in_row,
             *out = g->to + (size_t)i * out_row;
        if (g->from->dtype == g->dtype) {
            memcpy(out, in, out_row);
        } else {
            cnn_tensor source = cnn_tensor_wrap(g->from->dtype, 1, &row, in);
            cnn_tensor target = cnn_tensor_wrap(g->dtype, 1, &row, out);
            cnn_cast_into(&target, &source);
        }
    }
}

/* Rows of one array as the plan wants them: in place, or in the buffer. */
static const void *rows_of(const cnn_tensor *from, cnn_dtype dtype, const samples *s, int64_t start,
                           int64_t count, char *buffer) {
    int64_t row = from->size / from->shape[0];
    if (!s->order && from->dtype == dtype)
        return (char *)from->data + (size_t)((s->first + start) * row) * cnn_dtype_size(dtype);
    gathering g = {from, s, start, dtype, buffer};
    int64_t grain = 65536 / (row > 0 ? row : 1);
    cnn_parallel_ranges(count, grain > 0 ? grain : 1, gather_rows, &g);
    return buffer;
}

/* The label of a sample whose weight is sought: its class, by value or by the largest of a row. */
static int64_t class_of(const cnn_tensor *y, int64_t sample) {
    int64_t row = y->size / y->shape[0], best = 0;
    if (row == 1) {
        double label = cnn_tensor_get(y, sample);
        return label >= 0 && label < INT32_MAX ? (int64_t)label : -1;
    }
    for (int64_t i = 1; i < row; i++)
        if (cnn_tensor_get(y, sample * row + i) > cnn_tensor_get(y, sample * row + best)) best = i;
    return best;
}

/* sample_weight times class_weight, which as in Keras counts in training alone; NULL where neither is given. */
static const float *weights_of(const session *s, const samples *d, int64_t start, int64_t count) {
    const cnn_fit_options *o = s->options;
    bool by_class = o->class_weight && d->training;
    if (!d->weight && !by_class) return NULL;
    for (int64_t i = 0; i < count; i++) {
        int64_t at = d->first + (d->order ? d->order[start + i] : start + i);
        float w = d->weight ? cnn_f32(d->weight)[at] : 1;
        if (by_class) {
            int64_t label = class_of(d->y, at);
            if (label >= 0 && label < o->class_weight_count) w *= o->class_weight[label];
        }
        s->weight_buffer[i] = w;
    }
    return s->weight_buffer;
}

static cnn_batch batch_at(const session *s, const samples *d, int64_t start) {
    int64_t left = d->count - start;
    cnn_batch b = {.count = left < s->batch_size ? left : s->batch_size, .label = d->y};
    b.x = rows_of(d->x, s->model->inputs[0]->dtype, d, start, b.count, s->x_buffer);
    if (!d->y) return b;
    b.y = rows_of(d->y, d->y->dtype, d, start, b.count, s->y_buffer);
    b.weight = weights_of(s, d, start, b.count);
    return b;
}

static int step_count(const session *s, int64_t count, int limit) {
    int64_t steps = (count + s->batch_size - 1) / s->batch_size;
    return (int)(limit > 0 && limit < steps ? limit : steps);
}

/* ---- callbacks and logs ---------------------------------------------------------------------------------- */

/* Before each call, since a callback before it may have run something with the same callbacks. */
static cnn_status notify(session *s, cnn_event event, int index, cnn_logs *logs) {
    for (int i = 0; i < s->options->callback_count; i++) {
        cnn_callback **callback = &s->options->callbacks[i];
        (*callback)->run = &s->control;
        CNN_TRY(cnn_callbacks_call(callback, 1, event, index, logs));
    }
    return CNN_OK;
}

static void fill_logs(const session *s, cnn_logs *logs, double loss, bool validation) {
    const cnn_trainer *t = s->model->trainer;
    for (int i = 0; i <= t->metric_count && logs->count < CNN_MAX_LOGS; i++) {
        logs->names[logs->count] = validation ? s->val_names[i] : s->names[i];
        logs->values[logs->count++] = i == 0 ? loss : cnn_metric_result(t->measured.metrics[i - 1]);
    }
}

static cnn_status save_weights(cnn_model *model, float **weights) {
    float *copy = cnn_malloc((size_t)cnn_model_count_params(model) * sizeof *copy), *to = copy;
    if (!copy) return cnn_fail_memory((size_t)cnn_model_count_params(model) * sizeof *copy);
    for (int i = 0; i < model->layer.variable_count; i++) {
        const cnn_tensor *value = model->layer.variables[i]->value;
        memcpy(to, value->data, cnn_tensor_bytes(value));
        to += value->size;
    }
    *weights = copy;
    return CNN_OK;
}

static void restore_weights(cnn_model *model, const float *weights) {
    for (int i = 0; i < model->layer.variable_count; i++) {
        cnn_tensor *value = model->layer.variables[i]->value;
        memcpy(value->data, weights, cnn_tensor_bytes(value));
        weights += value->size;
    }
    cnn_trainer_touch_weights(model);
}

/* ---- sessions -------------------------------------------------------------------------------------------- */

static bool validating(const cnn_fit_options *o) {
    return o->validation_x || o->validation_split > 0;
}

static cnn_status make_names(session *s) {
    size_t bytes = 0;
    int count = cnn_model_metric_count(s->model);
    for (int i = 0; i < count; i++) {
        s->names[i] = cnn_model_metric_name(s->model, i);
        bytes += strlen(s->names[i]) + 5;
    }
    if (!validating(s->options)) return CNN_OK;
    if (!(s->val_text = cnn_malloc(bytes))) return cnn_fail_memory(bytes);
    char *text = s->val_text;
    for (int i = 0; i < count; i++) {
        s->val_names[i] = text;
        text += sprintf(text, "val_%s", s->names[i]) + 1;
    }
    return CNN_OK;
}

/* Only where rows are to be gathered, cast or weighted: train_on_batch, called often, mostly needs none. */
static cnn_status make_buffers(session *s, const cnn_tensor *x, const cnn_tensor *y) {
    const cnn_fit_options *o = s->options;
    cnn_dtype dtype = s->model->inputs[0]->dtype;
    bool in_place = o->no_shuffle && !validating(o);
    bool weighted = o->sample_weight || o->validation_sample_weight || o->class_weight;
    size_t rows = (size_t)s->batch_size,
           x_bytes = rows * (size_t)(x->size / x->shape[0]) * cnn_dtype_size(dtype);
    if ((!in_place || x->dtype != dtype) && !(s->x_buffer = cnn_malloc(x_bytes)))
        return cnn_fail_memory(x_bytes);
    if (weighted && !(s->weight_buffer = cnn_malloc(rows * sizeof(float))))
        return cnn_fail_memory(rows * sizeof(float));
    if (!y || in_place) return CNN_OK;
    size_t y_bytes = rows * (size_t)(y->size / y->shape[0]) * cnn_dtype_size(y->dtype);
    return (s->y_buffer = cnn_malloc(y_bytes)) ? CNN_OK : cnn_fail_memory(y_bytes);
}

static cnn_status open_session(session *s, cnn_model *model, const cnn_fit_options *options,
                               const cnn_tensor *y) {
    *s = (session){.model = model, .options = options};
    int64_t wanted = options->batch_size > 0 ? options->batch_size : 32;
    int64_t most = options->x->shape[0];
    if (options->validation_x && options->validation_x->shape[0] > most)
        most = options->validation_x->shape[0];
    s->batch_size = (int)(wanted < most ? wanted : most);
    s->progress = cnn_progress_new(options->log, options->verbose);
    s->control = (cnn_run_control){.model = model,
                                   .optimizer = model->trainer->optimizer,
                                   .epochs = options->epochs > 0 ? options->epochs : 1,
                                   .log = options->log,
                                   .save_weights = save_weights,
                                   .restore_weights = restore_weights};
    cnn_tensor *arrays[] = {options->x,
                            options->y,
                            options->sample_weight,
                            options->validation_x,
                            options->validation_y,
                            options->validation_sample_weight};
    for (int i = 0; i < 6; i++) s->held[i] = arrays[i] ? cnn_tensor_retain(arrays[i]) : NULL;
    s->outer = model->run;
    model->run = &s->control;
    if (s->outer) cnn_trainer_take_metrics(model, &s->outer_metrics);
    cnn_trainer_touch_weights(model);
    CNN_TRY(make_names(s));
    return make_buffers(s, options->x, y);
}

static cnn_status close_session(session *s, cnn_status status) {
    s->model->run = s->outer;
    if (s->outer) {
        cnn_trainer_give_metrics(s->model, &s->outer_metrics);
        s->outer->stop_training |= s->control.stop_training;
    }
    for (int i = 0; i < s->options->callback_count; i++) s->options->callbacks[i]->run = NULL;
    cnn_progress_break(&s->progress);
    for (int i = 0; i < 6; i++) cnn_tensor_release(s->held[i]);
    cnn_free(s->val_text);
    cnn_free(s->x_buffer);
    cnn_free(s->y_buffer);
    cnn_free(s->weight_buffer);
    return status;
}

static cnn_status poll_interrupt(void) {
    return cnn_interrupted() ? cnn_fail(CNN_ERROR_INTERRUPTED, "interrupted") : CNN_OK;
}

/* ---- evaluate -------------------------------------------------------------------------------------------- */

/* Appends loss and metrics over the samples to logs. */
static cnn_status test(session *s, const samples *d, int limit, bool show, cnn_logs *logs) {
    cnn_model *model = s->model;
    CNN_TRY(cnn_trainer_reset_metrics(model, d->y));
    CNN_TRY(notify(s, CNN_TEST_BEGIN, 0, NULL));
    int steps = step_count(s, d->count, limit);
    double total = 0, weight = 0;
    if (show) cnn_progress_begin(&s->progress, steps);
    for (int step = 0; step < steps; step++) {
        CNN_TRY(poll_interrupt());
        CNN_TRY(notify(s, CNN_TEST_BATCH_BEGIN, step, NULL));
        cnn_batch b = batch_at(s, d, (int64_t)step * s->batch_size);
        double loss;
        const cnn_tensor *output;
        CNN_TRY(cnn_trainer_run(model, CNN_MODE_TEST, &b, &loss, &output));
        CNN_TRY(cnn_trainer_update_metrics(model, &b, output));
        total += loss * (double)b.count;
        weight += (double)b.count;
        cnn_logs now = {0};
        fill_logs(s, &now, total / weight, false);
        CNN_TRY(notify(s, CNN_TEST_BATCH_END, step, &now));
        if (show) cnn_progress_step(&s->progress, step + 1, &now);
    }
    cnn_logs all = {0};
    fill_logs(s, &all, total / weight, false);
    if (show) cnn_progress_end(&s->progress, &all);
    fill_logs(s, logs, total / weight, !show);
    return notify(s, CNN_TEST_END, 0, &all);
}

cnn_status cnn_model_evaluate(cnn_model *model, const cnn_fit_options *options, double *values,
                              int capacity) {
    CNN_TRY(cnn_trainer_expect_compiled(model, "evaluate"));
    CNN_TRY(check_options("evaluate", options));
    CNN_TRY(check_samples(model, "evaluate", options->x, options->y, options->sample_weight));
    session s;
    cnn_logs logs = {0};
    samples d = {
        .x = options->x, .y = options->y, .weight = options->sample_weight, .count = options->x->shape[0]};
    cnn_status status = open_session(&s, model, options, options->y);
    if (status == CNN_OK) status = test(&s, &d, options->validation_steps, true, &logs);
    for (int i = 0; status == CNN_OK && i < logs.count && i < capacity; i++) values[i] = logs.values[i];
    return close_session(&s, status);
}

/* ---- predict --------------------------------------------------------------------------------------------- */

static cnn_status predict_batches(session *s, const samples *d, cnn_tensor *result) {
    CNN_TRY(notify(s, CNN_PREDICT_BEGIN, 0, NULL));
    int steps = step_count(s, d->count, 0);
    cnn_logs none = {0};
    cnn_progress_begin(&s->progress, steps);
    for (int step = 0; step < steps; step++) {
        CNN_TRY(poll_interrupt());
        CNN_TRY(notify(s, CNN_PREDICT_BATCH_BEGIN, step, NULL));
        int64_t start = (int64_t)step * s->batch_size;
        cnn_batch b = batch_at(s, d, start);
        const cnn_tensor *output;
        CNN_TRY(cnn_trainer_run(s->model, CNN_MODE_PREDICT, &b, NULL, &output));
        size_t bytes = cnn_tensor_bytes(output);
        memcpy((char *)result->data + bytes / (size_t)b.count * (size_t)start, output->data, bytes);
        CNN_TRY(notify(s, CNN_PREDICT_BATCH_END, step, &none));
        cnn_progress_step(&s->progress, step + 1, &none);
    }
    cnn_progress_end(&s->progress, &none);
    return notify(s, CNN_PREDICT_END, 0, NULL);
}

cnn_status cnn_model_predict(cnn_tensor **out, cnn_model *model, const cnn_fit_options *options) {
    cnn_trainer *trainer;
    CNN_TRY(cnn_trainer_of(&trainer, model));
    CNN_TRY(check_options("predict", options));
    CNN_TRY(check_x(model, "predict", options->x));
    samples d = {.x = options->x, .count = options->x->shape[0]};
    const cnn_tensor *output = model->outputs[0];
    int64_t shape[CNN_MAX_RANK];
    memcpy(shape, output->shape, sizeof shape);
    shape[0] = d.count;
    cnn_tensor *result;
    CNN_TRY(cnn_tensor_alloc(&result, output->dtype, output->rank, shape));
    session s;
    cnn_status status = open_session(&s, model, options, NULL);
    if (status == CNN_OK) status = predict_batches(&s, &d, result);
    if (status != CNN_OK)
        cnn_tensor_release(result);
    else
        *out = result;
    return close_session(&s, status);
}

/* ---- fit ------------------------------------------------------------------------------------------------- */

static cnn_status train_epoch(session *s, const samples *d, int steps, cnn_logs *logs) {
    cnn_model *model = s->model;
    double total = 0, weight = 0;
    CNN_TRY(cnn_trainer_reset_metrics(model, d->y));
    cnn_progress_begin(&s->progress, steps);
    for (int step = 0; step < steps; step++) {
        CNN_TRY(poll_interrupt());
        CNN_TRY(notify(s, CNN_TRAIN_BATCH_BEGIN, step, NULL));
        cnn_batch b = batch_at(s, d, (int64_t)step * s->batch_size);
        double loss;
        const cnn_tensor *output;
        CNN_TRY(cnn_trainer_run(model, CNN_MODE_TRAIN, &b, &loss, &output));
        CNN_TRY(cnn_trainer_update_metrics(model, &b, output));
        total += loss * (double)b.count;
        weight += (double)b.count;
        *logs = (cnn_logs){0};
        fill_logs(s, logs, total / weight, false);
        CNN_TRY(notify(s, CNN_TRAIN_BATCH_END, step, logs));
        cnn_progress_step(&s->progress, step + 1, logs);
        if (s->control.stop_training) break;
    }
    return CNN_OK;
}

static bool validates(const session *s, const samples *validation, int epoch) {
    int every = s->options->validation_freq > 0 ? s->options->validation_freq : 1;
    return validation->count > 0 && (epoch + 1) % every == 0;
}

static cnn_status run_epoch(session *s, const samples *train, const samples *validation, int epoch,
                            cnn_history *history) {
    cnn_logs logs = {0};
    cnn_progress_epoch(&s->progress, epoch, s->control.epochs);
    CNN_TRY(notify(s, CNN_EPOCH_BEGIN, epoch, NULL));
    CNN_TRY(train_epoch(s, train, step_count(s, train->count, s->options->steps_per_epoch), &logs));
    if (validates(s, validation, epoch))
        CNN_TRY(test(s, validation, s->options->validation_steps, false, &logs));
    cnn_progress_end(&s->progress, &logs);
    CNN_TRY(notify(s, CNN_EPOCH_END, epoch, &logs));
    return cnn_history_add(history, &logs);
}

static cnn_status run_epochs(session *s, samples *train, const samples *validation, int32_t *order,
                             cnn_history *history) {
    const cnn_fit_options *o = s->options;
    CNN_TRY(notify(s, CNN_TRAIN_BEGIN, 0, NULL));
    for (int epoch = o->initial_epoch; epoch < s->control.epochs && !s->control.stop_training; epoch++) {
        if (!o->no_shuffle) cnn_random_permutation(NULL, order, (int32_t)train->count);
        CNN_TRY(run_epoch(s, train, validation, epoch, history));
    }
    return notify(s, CNN_TRAIN_END, 0, NULL);
}

/* The last part of x is for validation if a split is asked for. */
static cnn_status split(const cnn_fit_options *o, samples *train, samples *validation) {
    *train = (samples){
        .x = o->x, .y = o->y, .weight = o->sample_weight, .count = o->x->shape[0], .training = true};
    *validation = (samples){0};
    if (o->validation_x) {
        *validation = (samples){.x = o->validation_x,
                                .y = o->validation_y,
                                .weight = o->validation_sample_weight,
                                .count = o->validation_x->shape[0]};
    } else if (o->validation_split > 0) {
        *validation = *train;
        validation->training = false;
        train->count = (int64_t)((double)train->count * (1 - o->validation_split));
        validation->first = train->count;
        validation->count -= train->count;
        if (train->count == 0 || validation->count == 0)
            return cnn_fail(CNN_ERROR_ARGUMENT,
                            "fit: validation_split = %g of %lld samples leaves a part empty",
                            o->validation_split, (long long)o->x->shape[0]);
    }
    if (train->count > INT32_MAX) return cnn_fail(CNN_ERROR_ARGUMENT, "fit: more than 2^31 samples");
    return CNN_OK;
}

static cnn_status check_fit(cnn_model *model, const cnn_fit_options *o) {
    CNN_TRY(cnn_model_expect_idle(model, "fit"));
    CNN_TRY(cnn_trainer_expect_compiled(model, "fit"));
    CNN_TRY(check_options("fit", o));
    CNN_TRY(check_samples(model, "fit", o->x, o->y, o->sample_weight));
    if (!o->validation_x) return CNN_OK;
    return check_samples(model, "fit: validation_data", o->validation_x, o->validation_y,
                         o->validation_sample_weight);
}

cnn_status cnn_model_fit(cnn_model *model, const cnn_fit_options *options, cnn_history **history) {
    CNN_TRY(check_fit(model, options));
    samples train, validation;
    CNN_TRY(split(options, &train, &validation));
    cnn_history *record = cnn_calloc(sizeof *record);
    int32_t *order = options->no_shuffle ? NULL : cnn_malloc((size_t)train.count * sizeof *order);
    session s = {.options = options};
    cnn_status status =
        record && (order || options->no_shuffle) ? CNN_OK : cnn_fail_memory((size_t)train.count * 4);
    train.order = order;
    if (status == CNN_OK) {
        status = open_session(&s, model, options, options->y);
        if (status == CNN_OK) status = run_epochs(&s, &train, &validation, order, record);
        close_session(&s, status);
    }
    cnn_free(order);
    if (history && record)
        *history = record;
    else
        cnn_history_release(record);
    return status;
}

cnn_status cnn_model_train_on_batch(cnn_model *model, cnn_tensor *x, cnn_tensor *y, cnn_tensor *sample_weight,
                                    double *values, int capacity) {
    cnn_fit_options options = {.x = x, .y = y, .sample_weight = sample_weight, .no_shuffle = true};
    CNN_TRY(cnn_model_expect_idle(model, "train_on_batch"));
    CNN_TRY(cnn_trainer_expect_compiled(model, "train_on_batch"));
    CNN_TRY(check_samples(model, "train_on_batch", x, y, sample_weight));
    options.batch_size = (int)x->shape[0];
    session s;
    cnn_logs logs = {0};
    samples d = {.x = x, .y = y, .weight = sample_weight, .count = x->shape[0], .training = true};
    cnn_status status = open_session(&s, model, &options, y);
    if (status == CNN_OK) status = train_epoch(&s, &d, 1, &logs);
    for (int i = 0; status == CNN_OK && i < logs.count && i < capacity; i++) values[i] = logs.values[i];
    return close_session(&s, status);
}
