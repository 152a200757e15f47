/* TerminateOnNaN, as in Keras 3 (keras.src.callbacks.terminate_on_nan): ends training at the first batch
 * whose loss is not a finite number. */
#include "train/monitor.h"

#include <math.h>

static cnn_status on(cnn_callback *callback, cnn_event event, int index, cnn_logs *logs) {
    bool found;
    if (event != CNN_TRAIN_BATCH_END) return CNN_OK;
    double loss = cnn_logs_get(logs, "loss", &found);
    if (!found || isfinite(loss)) return CNN_OK;
    cnn_callback_say(callback, "Batch %d: Invalid loss, terminating training", index);
    callback->run->stop_training = true;
    return CNN_OK;
}

static const cnn_param params[] = {{0}};

extern const cnn_callback_class cnn_callback_terminate_nan;
/*** Stops training at the first batch whose loss is not a number, or infinite: what follows would be lost time.
@class cnn.callbacks.TerminateOnNaN
@usage
model = cnn.Sequential{layers.Dense{1, input_shape = {1}}}
model:compile{optimizer = cnn.optimizers.SGD{1e30}, loss = "mse"}    -- much too large a rate
history = model:fit{cnn.ones{8, 1}, cnn.zeros{8, 1}, epochs = 100, verbose = 0,
  callbacks = {cnn.callbacks.TerminateOnNaN{}}}
#history.history.loss < 100  --> true
*/
const cnn_callback_class cnn_callback_terminate_nan = {
    .class = CNN_CLASS("callback", "TerminateOnNaN", "terminate_on_nan", cnn_callback, params), .on = on};
