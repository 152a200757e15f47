/* EarlyStopping, as in Keras 3 (keras.src.callbacks.early_stopping): ends training when the monitored figure
 * has not become better for `patience` epochs, and may bring back the weights of the best one. */
#include "train/monitor.h"
#include "base/memory.h"
#include "base/status.h"

#include <math.h>

typedef struct early_stopping {
    cnn_callback head;
    char *monitor;
    double min_delta, baseline; /* baseline: NaN for none */
    int patience, verbose, mode, start_from_epoch;
    bool restore_best_weights;
    /* state */
    int wait, stopped_epoch, best_epoch; /* stopped_epoch: 0 while not stopped */
    double best;
    float *best_weights; /* NULL: none yet */
    bool warned;
} early_stopping;

static void begin(early_stopping *e) {
    cnn_free(e->best_weights);
    e->best_weights = NULL;
    e->wait = e->stopped_epoch = e->best_epoch = 0;
    e->best = cnn_monitor_worst(cnn_monitor_rises(e->monitor, e->mode));
    e->warned = false;
}

static cnn_status keep_weights(early_stopping *e, int epoch) {
    float *weights;
    if (!e->restore_best_weights) return CNN_OK;
    CNN_TRY(e->head.run->save_weights(e->head.run->model, &weights));
    cnn_free(e->best_weights);
    e->best_weights = weights;
    e->best_epoch = epoch;
    return CNN_OK;
}

static cnn_status end_epoch(early_stopping *e, int epoch, const cnn_logs *logs) {
    bool rises = cnn_monitor_rises(e->monitor, e->mode);
    double value;
    if (!cnn_monitor_value(&e->head, "Early stopping", e->monitor, logs, &e->warned, &value)) return CNN_OK;
    if (epoch < e->start_from_epoch) return CNN_OK;
    double min_delta = fabs(e->min_delta);
    bool better = cnn_monitor_better(rises, value, e->best, min_delta);
    /* The first weights are the best so far, however bad. */
    if (better || !e->best_weights) CNN_TRY(keep_weights(e, epoch));
    e->wait++;
    if (better) {
        e->best = value;
        e->best_epoch = epoch;
        if (isnan(e->baseline) || cnn_monitor_better(rises, value, e->baseline, min_delta)) e->wait = 0;
    } else if (e->wait >= e->patience && epoch > 0) {
        e->stopped_epoch = epoch;
        e->head.run->stop_training = true;
    }
    return CNN_OK;
}

static void end(early_stopping *e) {
    if (e->stopped_epoch > 0 && e->verbose > 0)
        cnn_callback_say(&e->head, "Epoch %d: early stopping", e->stopped_epoch + 1);
    if (!e->best_weights) return;
    if (e->verbose > 0)
        cnn_callback_say(&e->head, "Restoring model weights from the end of the best epoch: %d.",
                         e->best_epoch + 1);
    e->head.run->restore_weights(e->head.run->model, e->best_weights);
    cnn_free(e->best_weights);
    e->best_weights = NULL;
}

static cnn_status on(cnn_callback *callback, cnn_event event, int index, cnn_logs *logs) {
    early_stopping *e = (early_stopping *)callback;
    if (event == CNN_TRAIN_BEGIN) begin(e);
    if (event == CNN_EPOCH_END) return end_epoch(e, index, logs);
    if (event == CNN_TRAIN_END) end(e);
    return CNN_OK;
}

static cnn_status check(const cnn_callback *callback) {
    const early_stopping *e = (const early_stopping *)callback;
    return e->monitor ? CNN_OK
                      : cnn_fail(CNN_ERROR_ARGUMENT, "EarlyStopping: 'monitor' must be a string, got null");
}

static void close_callback(cnn_callback *callback) {
    cnn_free(((early_stopping *)callback)->best_weights);
}

static float **weights_place(cnn_callback *callback) {
    return &((early_stopping *)callback)->best_weights;
}

static const cnn_param state[] = {CNN_PARAM(INT, early_stopping, wait, NULL),
                                  CNN_PARAM(INT, early_stopping, stopped_epoch, NULL),
                                  CNN_PARAM(INT, early_stopping, best_epoch, NULL),
                                  CNN_PARAM(FLOAT, early_stopping, best, NULL, .nullable = true),
                                  CNN_PARAM(BOOL, early_stopping, warned, NULL),
                                  {0}};

static const cnn_param params[] = {
    CNN_PARAM(STRING, early_stopping, monitor, "\"val_loss\"", .help = "the figure to watch"),
    CNN_PARAM(FLOAT, early_stopping, min_delta, "0", .help = "a change of no more than this is none"),
    CNN_PARAM(INT, early_stopping, patience, "0", .low = 0, .high = INFINITY,
              .help = "epochs without a better figure after which training stops"),
    CNN_PARAM(INT, early_stopping, verbose, "0", .help = "1: tell what is done"),
    CNN_PARAM(CHOICE, early_stopping, mode, "\"auto\"", .choices = CNN_MODE_CHOICES,
              .help = "whether lower or higher is better; auto goes by the figure's name"),
    CNN_PARAM(FLOAT, early_stopping, baseline, "null", .nullable = true,
              .help = "patience is only renewed by figures better than this"),
    CNN_PARAM(BOOL, early_stopping, restore_best_weights, "false",
              .help = "end with the weights of the best epoch instead of the last"),
    CNN_PARAM(INT, early_stopping, start_from_epoch, "0", .low = 0, .high = INFINITY,
              .help = "epochs to wait before watching"),
    {0}};

extern const cnn_callback_class cnn_callback_early_stopping;
/*** Stops training when a figure has not become better for `patience` epochs.
Watch "val_loss" or "val_accuracy", which tell of data that training doesn't see. With restore_best_weights the model
ends with the weights of its best epoch; else with the last ones.
@class cnn.callbacks.EarlyStopping
@usage
model = cnn.Sequential{layers.Dense{1, input_shape = {1}, kernel_initializer = "zeros"}}
model:compile{optimizer = cnn.optimizers.SGD{0}, loss = "mse"}       -- at rate 0 nothing becomes better
stop = cnn.callbacks.EarlyStopping{monitor = "loss", patience = 2}
history = model:fit{cnn.ones{8, 1}, cnn.ones{8, 1}, epochs = 100, verbose = 0, callbacks = {stop}}
history.history.loss  --> {1.0, 1.0, 1.0}
*/
const cnn_callback_class cnn_callback_early_stopping = {
    .class = CNN_CLASS("callback", "EarlyStopping", NULL, early_stopping, params),
    .check = check,
    .on = on,
    .close = close_callback,
    .state = state,
    .weights = weights_place};
