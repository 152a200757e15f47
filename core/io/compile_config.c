/* Writing goes by what every Keras of the form's version reads back: a loss or metric that has all its defaults is its
 * name; of the optimizer's arguments those that older versions do not know are left out where they say nothing.
 * Reading first brings the many spellings of ten years (see plain_spec) to the one that compile takes. */
#include "io/compile_config.h"
#include "train/trainer.h"
#include "base/status.h"

#include <stdlib.h>
#include <string.h>

static const cJSON *item_of(const cJSON *object, const char *name) {
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

/* Adds the item, which it takes over, under a name or to a list; false when memory is out. */
static bool add(cJSON *parent, const char *name, cJSON *item) {
    if (item && (name ? cJSON_AddItemToObject(parent, name, item) : cJSON_AddItemToArray(parent, item)))
        return true;
    cJSON_Delete(item);
    return false;
}

/* The item if it is whole, else NULL and nothing left of it. */
static cJSON *whole(cJSON *item, bool fine) {
    if (fine) return item;
    cJSON_Delete(item);
    return NULL;
}

/* ---- writing --------------------------------------------------------------------------------------------- */

/* {"class_name", "config"}, in Keras 3's form with where the class is found. Takes config over. */
static cJSON *object_spec(const char *module, const char *class_name, cJSON *config, cnn_keras form) {
    cJSON *spec = cJSON_CreateObject();
    bool fine = spec && (form == CNN_KERAS_2 || add(spec, "module", cJSON_CreateString(module))) &&
                add(spec, "class_name", cJSON_CreateString(class_name));
    if (!fine) cJSON_Delete(config);
    fine = fine && add(spec, "config", config) &&
           (form == CNN_KERAS_2 || add(spec, "registered_name", cJSON_CreateNull()));
    return whole(spec, fine);
}

static bool is_default(const cnn_object *object, const cJSON *config) {
    void *fresh;
    if (cnn_object_new(&fresh, object->class, NULL) != CNN_OK) return false;
    cJSON *other = cnn_object_config(fresh);
    bool equal = cJSON_Compare(config, other, true);
    cJSON_Delete(other);
    cnn_object_free(fresh);
    return equal;
}

static cJSON *loss_spec(const cnn_object *loss, cnn_keras form) {
    char name[64];
    cnn_snake_case(name, sizeof name, loss->class->name);
    cJSON *config = cnn_object_config(loss);
    if (!config) return NULL;
    if (is_default(loss, config)) {
        cJSON_Delete(config);
        return cJSON_CreateString(name);
    }
    if (!add(config, "name", cJSON_CreateString(name))) return whole(config, false);
    return object_spec("keras.losses", loss->class->name, config, form);
}

/* As it was given to compile: a name or an object. */
static cJSON *metric_spec(const cJSON *given, cnn_keras form) {
    const cJSON *class = item_of(given, "class_name"), *config = item_of(given, "config");
    if (!cJSON_IsString(class)) return cJSON_Duplicate(given, true);
    cJSON *copy = cJSON_IsObject(config) ? cJSON_Duplicate(config, true) : cJSON_CreateObject();
    return copy ? object_spec("keras.metrics", class->valuestring, copy, form) : NULL;
}

static cJSON *output_metrics(const cnn_trainer *t, int output, cnn_keras form) {
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; list && i < t->metric_count; i++)
        if (t->metric_outputs[i] == output)
            list = whole(list, add(list, NULL, metric_spec(t->metric_specs[i], form)));
    return list;
}

/* One for the only output, or a list of one for each. */
static cJSON *for_outputs(const cnn_trainer *t, cnn_keras form,
                          cJSON *(*of)(const cnn_trainer *t, int output, cnn_keras form)) {
    if (t->target_count == 1) return of(t, 0, form);
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; list && i < t->target_count; i++) list = whole(list, add(list, NULL, of(t, i, form)));
    return list;
}

static cJSON *output_loss(const cnn_trainer *t, int output, cnn_keras form) {
    return loss_spec(t->targets[output].loss, form);
}

static cJSON *loss_weights(const cnn_trainer *t) {
    bool all_one = true;
    for (int i = 0; i < t->target_count; i++) all_one = all_one && t->targets[i].weight == 1;
    if (all_one) return cJSON_CreateNull();
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; list && i < t->target_count; i++)
        list = whole(list, add(list, NULL, cJSON_CreateNumber(t->targets[i].weight)));
    return list;
}

/* Keras 3 writes these of every optimizer; here they are always at their defaults. */
static bool add_common_arguments(cJSON *config) {
    return add(config, "use_ema", cJSON_CreateFalse()) &&
           add(config, "ema_momentum", cJSON_CreateNumber(0.99)) &&
           add(config, "ema_overwrite_frequency", cJSON_CreateNull()) &&
           add(config, "loss_scale_factor", cJSON_CreateNull()) &&
           add(config, "gradient_accumulation_steps", cJSON_CreateNull());
}

/* Optimizers of Keras 2 before 2.11 know neither weight_decay nor arguments that are null. */
static void drop_null(cJSON *config) {
    for (cJSON *item = config->child, *next; item; item = next) {
        next = item->next;
        if (cJSON_IsNull(item)) cJSON_Delete(cJSON_DetachItemViaPointer(config, item));
    }
}

/* A schedule is an object with a class of its own. */
static bool add_rate_module(cJSON *config) {
    const cJSON *rate = item_of(config, "learning_rate"), *class = item_of(rate, "class_name");
    if (!cJSON_IsString(class)) return true;
    cJSON *inner = cJSON_Duplicate(item_of(rate, "config"), true);
    cJSON *spec =
        inner ? object_spec("keras.optimizers.schedules", class->valuestring, inner, CNN_KERAS_3) : NULL;
    if (spec && cJSON_ReplaceItemInObjectCaseSensitive(config, "learning_rate", spec)) return true;
    cJSON_Delete(spec);
    return false;
}

static cJSON *optimizer_spec(const cnn_optimizer *optimizer, cnn_keras form) {
    cJSON *config = cnn_optimizer_config(optimizer);
    if (!config) return NULL;
    if (form == CNN_KERAS_2)
        drop_null(config);
    else if (!add_common_arguments(config) || !add_rate_module(config))
        return whole(config, false);
    return object_spec("keras.optimizers", optimizer->class->name, config, form);
}

cnn_status cnn_compile_config_write(cJSON **out, const cnn_model *model, cnn_keras form) {
    const cnn_trainer *t = model->trainer;
    cJSON *config = cJSON_CreateObject();
    bool fine = config &&
                add(config, form == CNN_KERAS_2 ? "optimizer_config" : "optimizer",
                    optimizer_spec(t->optimizer, form)) &&
                add(config, "loss", for_outputs(t, form, output_loss)) &&
                add(config, "loss_weights", loss_weights(t)) &&
                add(config, "metrics", for_outputs(t, form, output_metrics)) &&
                add(config, "weighted_metrics", cJSON_CreateNull()) &&
                add(config, "run_eagerly", cJSON_CreateFalse()) &&
                add(config, "steps_per_execution", cJSON_CreateNumber(1)) &&
                add(config, "jit_compile", cJSON_CreateFalse());
    *out = whole(config, fine);
    return fine ? CNN_OK : cnn_fail_memory(1024);
}

/* ---- reading --------------------------------------------------------------------------------------------- */

/* What Keras writes into configs of losses and metrics beside the arguments that matter here. */
static void drop_idle_arguments(cJSON *config, bool of_loss) {
    static const char *const idle[] = {"fn", "dtype", "ignore_class"};
    for (int i = 0; i < 3; i++) cJSON_DeleteItemFromObjectCaseSensitive(config, idle[i]);
    if (of_loss) cJSON_DeleteItemFromObjectCaseSensitive(config, "name");
}

/* {"class_name": the function, "config": {"name"}} of a function wrapped into an object, as tf.keras saves the metric
 * "accuracy": {"class_name": "MeanMetricWrapper", "config": {"name": "accuracy", "fn": "categorical_accuracy"}}. */
static cJSON *wrapped_function(const cJSON *config, bool of_loss) {
    const cJSON *fn = item_of(config, "fn"), *name = item_of(config, "name");
    if (cJSON_IsObject(fn)) fn = item_of(fn, "config"); /* Keras 3 keeps functions as objects */
    if (!cJSON_IsString(fn)) return NULL;
    if (of_loss) return cJSON_CreateString(fn->valuestring);
    if (cJSON_IsString(name) && (!strcmp(name->valuestring, "accuracy") || !strcmp(name->valuestring, "acc")))
        return cJSON_CreateString(name->valuestring);
    cJSON *inner = cJSON_CreateObject();
    bool fine = inner && (!cJSON_IsString(name) || add(inner, "name", cJSON_CreateString(name->valuestring)));
    return fine ? object_spec(NULL, fn->valuestring, inner, CNN_KERAS_2) : whole(inner, false);
}

/* A loss or metric in any spelling as compile takes it: a name, or {"class_name", "config"}. */
static cJSON *plain_spec(const cJSON *spec, bool of_loss) {
    const cJSON *class = item_of(spec, "class_name"), *config = item_of(spec, "config");
    if (!cJSON_IsString(class)) return cJSON_Duplicate(spec, true);
    if (strcmp(class->valuestring, "function") == 0) return cJSON_Duplicate(config, true);
    if (strstr(class->valuestring, "Wrapper")) {
        cJSON *function = wrapped_function(config, of_loss);
        if (function) return function;
    }
    cJSON *copy = cJSON_IsObject(config) ? cJSON_Duplicate(config, true) : cJSON_CreateObject();
    if (!copy) return NULL;
    drop_idle_arguments(copy, of_loss);
    return object_spec(NULL, class->valuestring, copy, CNN_KERAS_2);
}

/* Lists and objects by output of such, to any depth that occurs. */
static cJSON *plain_specs(const cJSON *given, bool of_loss, int depth) {
    bool is_list = cJSON_IsArray(given), by_name = cJSON_IsObject(given) && !item_of(given, "class_name");
    if (!(is_list || by_name) || depth > 2) return plain_spec(given, of_loss);
    cJSON *all = is_list ? cJSON_CreateArray() : cJSON_CreateObject();
    for (const cJSON *item = given->child; all && item; item = item->next)
        all = whole(all, add(all, is_list ? NULL : item->string, plain_specs(item, of_loss, depth + 1)));
    return all;
}

/* The optimizer with Keras 2.2's older words for its arguments. */
static cJSON *plain_optimizer(const cJSON *given) {
    cJSON *spec = cJSON_Duplicate(given, true), *config = cJSON_GetObjectItemCaseSensitive(spec, "config");
    cJSON *rate = cJSON_DetachItemFromObjectCaseSensitive(config, "lr");
    if (!rate) return spec;
    return whole(spec, add(config, "learning_rate", rate));
}

static bool is_given(const cJSON *item) {
    return item && !cJSON_IsNull(item) && !(cJSON_IsArray(item) && !item->child);
}

/* What compile takes, made of the file's config; NULL when memory is out. */
static char *compile_text(const cJSON *config) {
    const cJSON *optimizer = item_of(config, "optimizer_config");
    if (!optimizer) optimizer = item_of(config, "optimizer");
    cJSON *plain = cJSON_CreateObject();
    bool fine = plain != NULL;
    if (is_given(optimizer)) fine = fine && add(plain, "optimizer", plain_optimizer(optimizer));
    if (is_given(item_of(config, "loss")))
        fine = fine && add(plain, "loss", plain_specs(item_of(config, "loss"), true, 0));
    if (is_given(item_of(config, "metrics")))
        fine = fine && add(plain, "metrics", plain_specs(item_of(config, "metrics"), false, 0));
    if (is_given(item_of(config, "loss_weights")))
        fine = fine && add(plain, "loss_weights", cJSON_Duplicate(item_of(config, "loss_weights"), true));
    return cnn_json_print(whole(plain, fine));
}

cnn_status cnn_compile_config_read(cnn_model *model, const cJSON *config, cnn_text *notes) {
    char *text = compile_text(config);
    if (!text) return cnn_fail_memory(1024);
    cnn_status status = cnn_model_compile(model, text);
    free(text);
    if (status == CNN_ERROR_MEMORY) return status;
    if (status != CNN_OK)
        cnn_text_add(notes, "the model is not compiled: %s\n", cnn_error_message());
    else if (is_given(item_of(config, "weighted_metrics")))
        cnn_text_add(notes, "weighted_metrics are left out\n");
    return CNN_OK;
}
