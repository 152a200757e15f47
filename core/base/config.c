#include "base/config.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- choices ------------------------------------------------------------------------------------------- */

int cnn_choice_find(const char *choices, const char *word) {
    size_t length = strlen(word);
    if (length == 0 || strchr(word, ' ')) return -1;
    for (int position = 0;; position++) {
        size_t span = strcspn(choices, " ");
        if (span == length && strncasecmp(choices, word, span) == 0) return position;
        if (!choices[span]) return -1;
        choices += span + 1;
    }
}

const char *cnn_choice_name(const char *choices, int position, char *buffer, size_t capacity) {
    for (; position > 0; position--) choices += strcspn(choices, " ") + 1;
    size_t span = strcspn(choices, " ");
    if (span >= capacity) span = capacity - 1;
    memcpy(buffer, choices, span);
    buffer[span] = '\0';
    return buffer;
}

/* ---- one argument -------------------------------------------------------------------------------------- */

/* What came, for a message: its JSON, cut short. */
static const char *shown(const cJSON *value, char buffer[48]) {
    char *text = cJSON_PrintUnformatted(value);
    if (!text) return "?";
    size_t length = strlen(text);
    snprintf(buffer, 48, "%.40s%s", text, length > 40 ? "…" : "");
    free(text);
    return buffer;
}

static cnn_status expected(const char *who, const cnn_param *param, const char *what, const cJSON *value) {
    char came[48];
    return cnn_fail(CNN_ERROR_ARGUMENT, "%s: '%s' must be %s, got %s", who, param->name, what,
                    shown(value, came));
}

static bool bounded(const cnn_param *param, double value) {
    if (param->low == 0 && param->high == 0) return true;
    return value >= param->low && (param->high == 0 || value <= param->high);
}

static cnn_status out_of_bounds(const char *who, const cnn_param *param, const cJSON *value) {
    char what[64];
    if (param->high != 0 && isfinite(param->high))
        snprintf(what, sizeof what, "between %g and %g", param->low, param->high);
    else
        snprintf(what, sizeof what, "at least %g", param->low);
    return expected(who, param, what, value);
}

static bool is_whole(const cJSON *value) {
    return cJSON_IsNumber(value) && value->valuedouble == floor(value->valuedouble) &&
           fabs(value->valuedouble) <= INT_MAX;
}

static cnn_status read_pair(const char *who, const cnn_param *param, const cJSON *value, int pair[2]) {
    const cJSON *first = value, *second = value;
    if (cJSON_IsArray(value)) {
        if (cJSON_GetArraySize(value) != 2)
            return expected(who, param, "an integer or a pair of integers", value);
        first = value->child;
        second = first->next;
    }
    if (!is_whole(first) || !is_whole(second))
        return expected(who, param, "an integer or a pair of integers", value);
    if (!bounded(param, first->valuedouble) || !bounded(param, second->valuedouble))
        return out_of_bounds(who, param, value);
    pair[0] = (int)first->valuedouble;
    pair[1] = (int)second->valuedouble;
    return CNN_OK;
}

static cnn_status read_shape(const char *who, const cnn_param *param, const cJSON *value, cnn_shape *shape) {
    const char *what = "a list of sizes";
    cnn_shape read = {.rank = 0};
    if (cJSON_IsNull(value)) {
        read.rank = -1;
    } else if (is_whole(value)) {
        read.rank = 1;
        read.sizes[0] = (int64_t)value->valuedouble;
    } else if (cJSON_IsArray(value)) {
        const cJSON *size;
        cJSON_ArrayForEach(size, value) {
            if (read.rank == CNN_MAX_RANK) return expected(who, param, "a list of at most 8 sizes", value);
            bool any = cJSON_IsNull(size);
            if (!any && !is_whole(size)) return expected(who, param, what, value);
            read.sizes[read.rank++] = any ? -1 : (int64_t)size->valuedouble;
        }
    } else {
        return expected(who, param, what, value);
    }
    for (int i = 0; i < read.rank; i++)
        if (!bounded(param, (double)read.sizes[i])) return out_of_bounds(who, param, value);
    *shape = read;
    return CNN_OK;
}

static cnn_status read_choice(const char *who, const cnn_param *param, const cJSON *value, int *choice) {
    int position = cJSON_IsString(value) ? cnn_choice_find(param->choices, value->valuestring) : -1;
    if (position >= 0) {
        *choice = position;
        return CNN_OK;
    }
    char what[160] = "one of '";
    size_t used = strlen(what);
    for (const char *c = param->choices; *c && used + 8 < sizeof what; c++) {
        if (*c == ' ')
            used += (size_t)snprintf(what + used, sizeof what - used, "', '");
        else
            what[used++] = *c;
    }
    snprintf(what + used, sizeof what - used, "'");
    return expected(who, param, what, value);
}

static cnn_status check_spec(const char *who, const cnn_param *param, const cJSON *value) {
    if (!param->spec || !param->spec->check) return CNN_OK;
    cnn_status status = param->spec->check(cJSON_IsNull(value) ? NULL : value);
    if (status == CNN_OK) return CNN_OK;
    char context[128];
    snprintf(context, sizeof context, "%s: '%s'", who, param->name);
    return cnn_fail_in(status, context);
}

static cnn_status read_param(const char *who, const cnn_param *param, const cJSON *value, void *target) {
    void *field = (char *)target + param->offset;
    bool null = cJSON_IsNull(value) && param->nullable;
    switch (param->type) {
    case CNN_PARAM_BOOL:
        if (!cJSON_IsBool(value)) return expected(who, param, "true or false", value);
        *(bool *)field = cJSON_IsTrue(value);
        return CNN_OK;
    case CNN_PARAM_INT:
        if (!null && !is_whole(value)) return expected(who, param, "an integer", value);
        if (!null && !bounded(param, value->valuedouble)) return out_of_bounds(who, param, value);
        *(int *)field = null ? INT_MIN : (int)value->valuedouble;
        return CNN_OK;
    case CNN_PARAM_FLOAT:
        if (!null && !cJSON_IsNumber(value)) return expected(who, param, "a number", value);
        if (!null && !bounded(param, value->valuedouble)) return out_of_bounds(who, param, value);
        *(double *)field = null ? NAN : value->valuedouble;
        return CNN_OK;
    case CNN_PARAM_STRING: {
        if (!cJSON_IsString(value) && !cJSON_IsNull(value)) return expected(who, param, "a string", value);
        char *copy = NULL;
        if (cJSON_IsString(value) && !(copy = cnn_strdup(value->valuestring)))
            return cnn_fail_memory(strlen(value->valuestring));
        cnn_free(*(char **)field);
        *(char **)field = copy;
        return CNN_OK;
    }
    case CNN_PARAM_CHOICE:
        if (null) return *(int *)field = 0, CNN_OK;
        return read_choice(who, param, value, field);
    case CNN_PARAM_PAIR:
        if (null) {
            ((int *)field)[0] = ((int *)field)[1] = INT_MIN;
            return CNN_OK;
        }
        return read_pair(who, param, value, field);
    case CNN_PARAM_SHAPE:
        return read_shape(who, param, value, field);
    case CNN_PARAM_JSON: {
        cJSON *copy = NULL;
        CNN_TRY(check_spec(who, param, value));
        if (!cJSON_IsNull(value) && !(copy = cJSON_Duplicate(value, true))) return cnn_fail_memory(64);
        cJSON_Delete(*(cJSON **)field);
        *(cJSON **)field = copy;
        return CNN_OK;
    }
    case CNN_PARAM_NOTHING:
        if (cJSON_IsNull(value) || cJSON_IsFalse(value)) return CNN_OK;
        return cnn_fail(CNN_ERROR_ARGUMENT, "%s: '%s' is not supported", who, param->name);
    case CNN_PARAM_IGNORED:
        return CNN_OK;
    }
    return CNN_OK;
}

/* ---- all of them --------------------------------------------------------------------------------------- */

static cnn_status check_names(const char *who, const cnn_param *params, const cJSON *config) {
    enum { MOST = 64 };
    const char *names[MOST + 1];
    int count = 0;
    for (const cnn_param *p = params; p->name && count < MOST; p++) names[count++] = p->name;
    names[count] = NULL;
    const cJSON *item;
    cJSON_ArrayForEach(item, config) {
        int i = 0;
        while (i < count && strcmp(names[i], item->string) != 0) i++;
        if (i < count) continue;
        const char *nearest = cnn_nearest(item->string, names);
        return cnn_fail(CNN_ERROR_ARGUMENT,
                        nearest ? "%s: unknown argument '%s' (did you mean '%s'?)"
                                : "%s: unknown argument '%s'",
                        who, item->string, nearest);
    }
    return CNN_OK;
}

cnn_status cnn_params_read(const char *who, const cnn_param *params, const cJSON *config, void *target) {
    bool empty = cJSON_IsArray(config) && !config->child; /* Lua's {} may be either */
    if (config && !cJSON_IsObject(config) && !empty)
        return cnn_fail(CNN_ERROR_ARGUMENT, "%s: arguments must be a JSON object", who);
    CNN_TRY(check_names(who, params, config));
    for (const cnn_param *p = params; p->name; p++) {
        const cJSON *given = config ? cJSON_GetObjectItemCaseSensitive(config, p->name) : NULL;
        if (given) {
            CNN_TRY(read_param(who, p, given, target));
            continue;
        }
        if (!p->fallback) return cnn_fail(CNN_ERROR_ARGUMENT, "%s: missing argument '%s'", who, p->name);
        cJSON *fallback = cJSON_Parse(p->fallback);
        if (!fallback) return cnn_fail_memory(64);
        cnn_status status = read_param(who, p, fallback, target);
        cJSON_Delete(fallback);
        CNN_TRY(status);
    }
    return CNN_OK;
}

/* Sizes below 0 are unknown ones, unless the param's bounds allow for them. */
static cJSON *shape_json(const cnn_param *param, const cnn_shape *shape) {
    if (shape->rank < 0) return cJSON_CreateNull();
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; list && i < shape->rank; i++) {
        bool unknown = shape->sizes[i] < 0 && param->low >= 0;
        cJSON *size = unknown ? cJSON_CreateNull() : cJSON_CreateNumber((double)shape->sizes[i]);
        if (size && cJSON_AddItemToArray(list, size)) continue;
        cJSON_Delete(list);
        list = NULL;
    }
    return list;
}

static cJSON *param_json(const cnn_param *param, const void *source, cnn_keras keras) {
    const void *field = (const char *)source + param->offset;
    char word[64];
    switch (param->type) {
    case CNN_PARAM_BOOL:
        return cJSON_CreateBool(*(const bool *)field);
    case CNN_PARAM_INT:
        return *(const int *)field == INT_MIN ? cJSON_CreateNull() : cJSON_CreateNumber(*(const int *)field);
    case CNN_PARAM_FLOAT:
        return isnan(*(const double *)field) ? cJSON_CreateNull()
                                             : cJSON_CreateNumber(*(const double *)field);
    case CNN_PARAM_STRING: {
        const char *text = *(char *const *)field;
        return text ? cJSON_CreateString(text) : cJSON_CreateNull();
    }
    case CNN_PARAM_CHOICE:
        return cJSON_CreateString(cnn_choice_name(param->choices, *(const int *)field, word, sizeof word));
    case CNN_PARAM_PAIR:
        return *(const int *)field == INT_MIN ? cJSON_CreateNull() : cJSON_CreateIntArray(field, 2);
    case CNN_PARAM_SHAPE:
        return shape_json(param, field);
    case CNN_PARAM_JSON: {
        const cJSON *json = *(cJSON *const *)field;
        if (keras != CNN_KERAS_NONE && param->spec) return param->spec->write(json, keras);
        return json ? cJSON_Duplicate(json, true) : cJSON_CreateNull();
    }
    case CNN_PARAM_NOTHING:
    case CNN_PARAM_IGNORED:
        return cJSON_Parse(param->fallback);
    }
    return NULL;
}

static bool is_written(const cnn_param *param, cnn_keras keras) {
    if (param->derived) return false;
    return param->only == CNN_KERAS_NONE || param->only == (keras == CNN_KERAS_2 ? keras : CNN_KERAS_3);
}

cJSON *cnn_params_write(cJSON *into, const cnn_param *params, const void *source, cnn_keras keras) {
    for (const cnn_param *p = params; into && p->name; p++) {
        if (!is_written(p, keras)) continue;
        cJSON *json = param_json(p, source, keras);
        if (p->if_set && keras != CNN_KERAS_NONE && cJSON_IsNull(json)) {
            cJSON_Delete(json);
            continue;
        }
        if (!json || !cJSON_AddItemToObject(into, p->name, json)) {
            cJSON_Delete(json);
            cJSON_Delete(into);
            into = NULL;
        }
    }
    return into;
}

void cnn_params_free(const cnn_param *params, void *target) {
    for (const cnn_param *p = params; p->name; p++) {
        void *field = (char *)target + p->offset;
        if (p->type == CNN_PARAM_STRING) cnn_free(*(char **)field);
        if (p->type == CNN_PARAM_JSON) cJSON_Delete(*(cJSON **)field);
    }
}

/* ---- classes and objects ------------------------------------------------------------------------------- */

static bool answers_to(const cnn_class *class, const char *name) {
    if (strcasecmp(class->name, name) == 0) return true;
    char snake[64];
    cnn_snake_case(snake, sizeof snake, class->name);
    return strcmp(snake, name) == 0 || (class->aliases && cnn_choice_find(class->aliases, name) >= 0);
}

/* All that the classes answer to: names, these with underscores, aliases. The words lie in the text. */
static int class_words(const cnn_class *const *classes, const char **words, int most, cnn_text *text) {
    for (int i = 0; classes[i]; i++) {
        char snake[64];
        cnn_snake_case(snake, sizeof snake, classes[i]->name);
        const char *aliases = classes[i]->aliases;
        cnn_text_add(text, aliases ? "%s %s %s " : "%s %s ", classes[i]->name, snake, aliases);
    }
    if (text->failed || !text->bytes) return 0;
    int count = 0;
    char *rest = NULL;
    for (char *word = strtok_r(text->bytes, " ", &rest); word && count < most;
         word = strtok_r(NULL, " ", &rest))
        words[count++] = word;
    return count;
}

cnn_status cnn_class_find(const cnn_class **out, const cnn_class *const *classes, const char *name) {
    for (int i = 0; classes[i]; i++) {
        if (!answers_to(classes[i], name)) continue;
        *out = classes[i];
        return CNN_OK;
    }
    enum { MOST = 512 };
    const char *words[MOST + 1];
    cnn_text text = {0};
    words[class_words(classes, words, MOST, &text)] = NULL;
    const char *nearest = cnn_nearest(name, words);
    cnn_status status =
        cnn_fail(CNN_ERROR_ARGUMENT, nearest ? "unknown %s '%s' (did you mean '%s'?)" : "unknown %s '%s'",
                 classes[0]->kind, name, nearest);
    cnn_text_free(&text);
    return status;
}

cnn_status cnn_object_new(void **out, const cnn_class *class, const cJSON *config) {
    cnn_object *object = cnn_calloc(class->size);
    if (!object) return cnn_fail_memory(class->size);
    object->class = class;
    cnn_status status = cnn_params_read(class->name, class->params, config, object);
    if (status != CNN_OK)
        cnn_object_free(object);
    else
        *out = object;
    return status;
}

cnn_status cnn_object_from(void **out, const cnn_class *const *classes, const cJSON *spec) {
    const cJSON *name = cJSON_IsObject(spec) ? cJSON_GetObjectItemCaseSensitive(spec, "class_name") : spec;
    const cJSON *config = cJSON_IsObject(spec) ? cJSON_GetObjectItemCaseSensitive(spec, "config") : NULL;
    if (!cJSON_IsString(name)) {
        char came[48];
        return cnn_fail(CNN_ERROR_ARGUMENT,
                        "%s: expected a name or an object with class_name and config, got %s",
                        classes[0]->kind, spec ? shown(spec, came) : "nothing");
    }
    const cnn_class *class;
    CNN_TRY(cnn_class_find(&class, classes, name->valuestring));
    return cnn_object_new(out, class, cJSON_IsNull(config) ? NULL : config);
}

cJSON *cnn_object_config(const void *object) {
    return cnn_object_config_as(object, CNN_KERAS_NONE);
}

cJSON *cnn_object_config_as(const void *object, cnn_keras keras) {
    return cnn_params_write(cJSON_CreateObject(), ((const cnn_object *)object)->class->params, object, keras);
}

cJSON *cnn_keras_object(const char *class_name, cJSON *config, const char *module, cnn_keras keras) {
    cJSON *object = cJSON_CreateObject();
    bool fine = object && config &&
                (keras != CNN_KERAS_3 || cJSON_AddStringToObject(object, "module", module)) &&
                cJSON_AddStringToObject(object, "class_name", class_name);
    if (!fine || !cJSON_AddItemToObject(object, "config", config)) {
        cJSON_Delete(config);
        cJSON_Delete(object);
        return NULL;
    }
    if (keras != CNN_KERAS_3 || cJSON_AddNullToObject(object, "registered_name")) return object;
    cJSON_Delete(object);
    return NULL;
}

void cnn_object_free(void *object) {
    if (!object) return;
    cnn_params_free(((cnn_object *)object)->class->params, object);
    cnn_free(object);
}

static bool make_exact(cJSON *item) {
    char text[CNN_NUMBER_TEXT];
    double value = item->valuedouble;
    if (cJSON_IsNumber(item) && isnan(value)) {
        item->type = (item->type & ~0xFF) | cJSON_NULL;
    } else if (cJSON_IsNumber(item)) {
        item->valuestring =
            strdup(isinf(value) ? value > 0 ? "1e999" : "-1e999" : cnn_number_text(text, value));
        item->type = (item->type & ~0xFF) | cJSON_Raw;
        if (!item->valuestring) return false;
    }
    for (cJSON *child = item->child; child; child = child->next)
        if (!make_exact(child)) return false;
    return true;
}

char *cnn_json_print(cJSON *owned) {
    char *text = owned && make_exact(owned) ? cJSON_PrintUnformatted(owned) : NULL;
    cJSON_Delete(owned);
    return text;
}

cnn_status cnn_json_parse(cJSON **out, const char *who, const char *text) {
    cJSON *json;
    if (!text || !*text) {
        json = cJSON_CreateObject();
        if (!json) return cnn_fail_memory(64);
    } else if (!(json = cJSON_Parse(text))) {
        const char *at = cJSON_GetErrorPtr();
        return cnn_fail(CNN_ERROR_ARGUMENT, "%s: not JSON near '%.30s'", who, at ? at : text);
    }
    *out = json;
    return CNN_OK;
}
