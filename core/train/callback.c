/* The list of callbacks, their making, and calling them in turn. */
#include "train/callback.h"
#include "base/status.h"

#include <math.h>
#include <string.h>

extern const cnn_callback_class cnn_callback_early_stopping, cnn_callback_reduce_lr, cnn_callback_csv_logger,
    cnn_callback_terminate_nan, cnn_callback_model_checkpoint, cnn_callback_backup;

const cnn_class *const cnn_callbacks[] = {&cnn_callback_early_stopping.class,
                                          &cnn_callback_reduce_lr.class,
                                          &cnn_callback_csv_logger.class,
                                          &cnn_callback_terminate_nan.class,
                                          &cnn_callback_model_checkpoint.class,
                                          &cnn_callback_backup.class,
                                          NULL};

static const cnn_callback_class *class_of(const cnn_callback *callback) {
    return (const cnn_callback_class *)callback->class;
}

cnn_status cnn_callback_new(cnn_callback **out, const char *class_name, const char *config) {
    const cnn_class *class;
    cJSON *arguments;
    void *made;
    CNN_TRY(cnn_class_find(&class, cnn_callbacks, class_name));
    CNN_TRY(cnn_json_parse(&arguments, class->name, config));
    cnn_status status = cnn_object_new(&made, class, arguments);
    cJSON_Delete(arguments);
    if (status != CNN_OK) return status;
    cnn_callback *callback = made;
    if (class_of(callback)->check && (status = class_of(callback)->check(callback)) != CNN_OK) {
        cnn_callback_release(callback);
        return status;
    }
    *out = callback;
    return CNN_OK;
}

void cnn_callback_release(cnn_callback *callback) {
    if (!callback) return;
    if (class_of(callback)->close) class_of(callback)->close(callback);
    cnn_object_free(callback);
}

double cnn_logs_get(const cnn_logs *logs, const char *name, bool *found) {
    for (int i = 0; logs && i < logs->count; i++)
        if (strcmp(logs->names[i], name) == 0) {
            *found = true;
            return logs->values[i];
        }
    *found = false;
    return NAN;
}

cnn_status cnn_callbacks_call(cnn_callback *const *callbacks, int count, cnn_event event, int index,
                              cnn_logs *logs) {
    for (int i = 0; i < count; i++) CNN_TRY(class_of(callbacks[i])->on(callbacks[i], event, index, logs));
    return CNN_OK;
}

/* ---- states -------------------------------------------------------------------------------------------- */

bool cnn_callback_has_state(const cnn_callback *callback) {
    return class_of(callback)->state;
}

cnn_status cnn_callback_get_state(cJSON **out, cnn_callback *callback) {
    const cnn_callback_class *class = class_of(callback);
    if (class->backup) CNN_TRY(class->backup(callback));
    cJSON *state = cnn_params_write(cJSON_CreateObject(), class->state, callback, CNN_KERAS_NONE);
    if (!state) return cnn_fail_memory(64);
    *out = state;
    return CNN_OK;
}

cnn_status cnn_callback_set_state(cnn_callback *callback, const cJSON *state) {
    const cnn_callback_class *class = class_of(callback);
    CNN_TRY(cnn_params_read(class->class.name, class->state, state, callback));
    return class->restore ? class->restore(callback) : CNN_OK;
}

float **cnn_callback_weights(cnn_callback *callback) {
    return class_of(callback)->weights ? class_of(callback)->weights(callback) : NULL;
}
