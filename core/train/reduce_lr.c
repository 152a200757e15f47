/* ReduceLROnPlateau, as in Keras 3 (keras.src.callbacks.reduce_lr_on_plateau): multiplies the learning rate
 * by `factor` when the monitored figure has not become better for `patience` epochs. Adds the rate to the
 * logs. */
#include "train/monitor.h"
#include "train/optimizer.h"
#include "base/status.h"

#include <math.h>

typedef struct reduce_lr {
    cnn_callback head;
    char *monitor;
    double factor, min_delta, min_lr;
    int patience, verbose, mode, cooldown;
    /* state */
    int wait, cooldown_counter;
    double best;
    bool warned;
} reduce_lr;

static void begin(reduce_lr *r) {
    r->wait = r->cooldown_counter = 0;
    r->best = cnn_monitor_worst(cnn_monitor_rises(r->monitor, r->mode));
    r->warned = false;
}

static void log_rate(cnn_logs *logs, double rate) {
    static const char name[] = "learning_rate";
    bool found;
    if (!logs || logs->count == CNN_MAX_LOGS) return;
    cnn_logs_get(logs, name, &found);
    if (found) return;
    logs->names[logs->count] = name;
    logs->values[logs->count++] = rate;
}

static cnn_status reduce(reduce_lr *r, int epoch, double rate) {
    double lower = fmax(rate * r->factor, r->min_lr);
    CNN_TRY(cnn_optimizer_set_rate(r->head.run->optimizer, lower));
    if (r->verbose > 0)
        cnn_callback_say(&r->head, "Epoch %d: ReduceLROnPlateau reducing learning rate to %g.", epoch + 1,
                         lower);
    r->cooldown_counter = r->cooldown;
    r->wait = 0;
    return CNN_OK;
}

static cnn_status end_epoch(reduce_lr *r, int epoch, cnn_logs *logs) {
    double value, rate = cnn_optimizer_rate(r->head.run->optimizer);
    bool known =
        cnn_monitor_value(&r->head, "Learning rate reduction is", r->monitor, logs, &r->warned, &value);
    log_rate(logs, rate);
    if (!known) return CNN_OK;
    if (r->cooldown_counter > 0) {
        r->cooldown_counter--;
        r->wait = 0;
    }
    if (cnn_monitor_better(cnn_monitor_rises(r->monitor, r->mode), value, r->best, r->min_delta)) {
        r->best = value;
        r->wait = 0;
    } else if (r->cooldown_counter == 0 && ++r->wait >= r->patience && rate > r->min_lr) {
        return reduce(r, epoch, rate);
    }
    return CNN_OK;
}

static cnn_status on(cnn_callback *callback, cnn_event event, int index, cnn_logs *logs) {
    reduce_lr *r = (reduce_lr *)callback;
    if (event == CNN_TRAIN_BEGIN) begin(r);
    if (event == CNN_EPOCH_END && r->head.run->optimizer) return end_epoch(r, index, logs);
    return CNN_OK;
}

static cnn_status check(const cnn_callback *callback) {
    const reduce_lr *r = (const reduce_lr *)callback;
    if (!r->monitor)
        return cnn_fail(CNN_ERROR_ARGUMENT, "ReduceLROnPlateau: 'monitor' must be a string, got null");
    if (r->factor >= 0 && r->factor < 1) return CNN_OK;
    return cnn_fail(CNN_ERROR_ARGUMENT, "ReduceLROnPlateau: 'factor' must be at least 0 and below 1, got %g",
                    r->factor);
}

static const cnn_param state[] = {CNN_PARAM(INT, reduce_lr, wait, NULL),
                                  CNN_PARAM(INT, reduce_lr, cooldown_counter, NULL),
                                  CNN_PARAM(FLOAT, reduce_lr, best, NULL, .nullable = true),
                                  CNN_PARAM(BOOL, reduce_lr, warned, NULL),
                                  {0}};

static const cnn_param params[] = {
    CNN_PARAM(STRING, reduce_lr, monitor, "\"val_loss\"", .help = "the figure to watch"),
    CNN_PARAM(FLOAT, reduce_lr, factor, "0.1", .help = "what the learning rate is multiplied with"),
    CNN_PARAM(INT, reduce_lr, patience, "10", .low = 0, .high = INFINITY,
              .help = "epochs without a better figure after which the rate is reduced"),
    CNN_PARAM(INT, reduce_lr, verbose, "0", .help = "1: tell what is done"),
    CNN_PARAM(CHOICE, reduce_lr, mode, "\"auto\"", .choices = CNN_MODE_CHOICES,
              .help = "whether lower or higher is better; auto goes by the figure's name"),
    CNN_PARAM(FLOAT, reduce_lr, min_delta, "1e-4", .help = "a change of no more than this is none"),
    CNN_PARAM(INT, reduce_lr, cooldown, "0", .low = 0, .high = INFINITY,
              .help = "epochs to wait after a reduction before watching again"),
    CNN_PARAM(FLOAT, reduce_lr, min_lr, "0", .low = 0, .high = INFINITY,
              .help = "the rate is never made lower than this"),
    {0}};

extern const cnn_callback_class cnn_callback_reduce_lr;
/*** Multiplies the learning rate with `factor` when a figure has not become better for `patience` epochs.
Near a minimum smaller steps get on where larger ones jump to and fro. The history has the figure learning_rate for
each epoch.
@class cnn.callbacks.ReduceLROnPlateau
@raise a factor of 1 and more; an optimizer whose learning rate is a schedule
@usage
model = cnn.Sequential{layers.Dense{1, input_shape = {1}}}
model:compile{optimizer = cnn.optimizers.SGD{0.5}, loss = "mse"}
reduce = cnn.callbacks.ReduceLROnPlateau{monitor = "loss", patience = 1, min_delta = 1e9}   -- never better
history = model:fit{cnn.ones{8, 1}, cnn.ones{8, 1}, epochs = 4, verbose = 0, callbacks = {reduce}}
for _, rate in ipairs(history.history.learning_rate) do print(("%g"):format(rate)) end
--> 0.5
--> 0.5
--> 0.05
--> 0.005
*/
const cnn_callback_class cnn_callback_reduce_lr = {
    .class = CNN_CLASS("callback", "ReduceLROnPlateau", "reduce_lr_on_plateau", reduce_lr, params),
    .check = check,
    .on = on,
    .state = state};
