/* cnn.augment: random changes to pictures, alone and in pipelines.
 *
 * A step, cnn.augment.rotate{15}, and a pipeline of steps are objects of one type, for a step is a pipeline of one.
 * Its stages are cnn_augments, each as long as neighbouring built-in steps go, so that libcnn merges them, and Lua
 * functions between. The user value of the object is a table with a stage each: the text of its steps, or the function.
 *
 * What is random in a call comes from one generator: the caller's rng, one of its seed, or the default one. A built-in
 * stage draws from it; a function is given, for each picture, one split from it, which is also the thread's default
 * generator while it runs. */
#include "lua_cnn.h"
#include "lua_carry.h"
#include "lua_layer.h"
#include "base/random.h"
#include "base/status.h"
#include "image/augment.h"

#include <limits.h>
#include <string.h>

#define AUGMENTATION "augmentation"

typedef struct augmentation {
    int count;
    cnn_augment *stages[]; /* NULL: a function */
} augmentation;

/* ---- making them --------------------------------------------------------------------------------------- */

/* Replaces the table of stages on the top by the object. */
static int make(lua_State *L) {
    int stages = lua_gettop(L), count = (int)lua_rawlen(L, stages);
    size_t size = sizeof(augmentation) + (size_t)count * sizeof(cnn_augment *);
    augmentation *a = lua_newuserdatauv(L, size, 1);
    memset(a, 0, size);
    a->count = count;
    luaL_setmetatable(L, AUGMENTATION);
    lua_pushvalue(L, stages);
    lua_setiuservalue(L, -2, 1);
    for (int i = 0; i < count; i++) {
        if (lua_rawgeti(L, stages, i + 1) == LUA_TSTRING)
            lcnn_check(L, cnn_augment_new(&a->stages[i], lua_pushfstring(L, "[%s]", lua_tostring(L, -1))));
        lua_settop(L, stages + 1);
    }
    lua_remove(L, stages);
    return 1;
}

static int free_augmentation(lua_State *L) {
    augmentation *a = luaL_checkudata(L, 1, AUGMENTATION);
    for (int i = 0; i < a->count; i++) {
        cnn_augment_release(a->stages[i]);
        a->stages[i] = NULL;
    }
    a->count = 0;
    return 0;
}

/* Appends the stage on the top, which it pops, to the table at stages; steps join steps. */
static void append(lua_State *L, int stages) {
    int count = (int)lua_rawlen(L, stages);
    bool joins = lua_rawgeti(L, stages, count) == LUA_TSTRING && lua_type(L, -2) == LUA_TSTRING;
    if (joins) {
        lua_pushfstring(L, "%s, %s", lua_tostring(L, -1), lua_tostring(L, -2));
        lua_rawseti(L, stages, count);
    } else {
        lua_pushvalue(L, -2);
        lua_rawseti(L, stages, count + 1);
    }
    lua_pop(L, 2);
}

/* The constructor of a built-in step; its class's own text tells its arguments. */
static int new_step(lua_State *L) {
    const cnn_class *class = lua_touserdata(L, lua_upvalueindex(1));
    lcnn_args_class(L, 1, class);
    const char *config = lcnn_json_print(L);
    lua_newtable(L);
    if (strcmp(config, "{}") == 0) /* which would come back from Lua as a list */
        lua_pushfstring(L, "{\"class_name\": \"%s\"}", class->name);
    else
        lua_pushfstring(L, "{\"class_name\": \"%s\", \"config\": %s}", class->name, config);
    append(L, lua_gettop(L) - 1);
    return make(L);
}

/*** Makes a pipeline of random changes to pictures, done one after the other.
Steps are those of cnn.augment, other pipelines, tables {class_name = …, config = {…}} as get_config gives them, and
functions of a picture [H,W,C] and a generator of random numbers, which return a picture and leave the given one as
it is. Built-in steps that are neighbours are done as one, so that pictures are sampled once.
@function cnn.augment.pipeline
@tparam {step|pipeline|function,...} steps
@treturn pipeline
@raise names in the table; something that is no step
@usage
augment = cnn.augment.pipeline{
  cnn.augment.flip{"horizontal"},
  cnn.augment.rotate{15},
  function(image, rng) return image * rng:uniform(0.8, 1.2) end,
}
print(augment)                       --> <augmentation: flip, rotate, function>
augment(cnn.zeros{8, 28, 28, 1}):shape()  --> {8, 28, 28, 1}
*/
/*** A pipeline of random changes to pictures: what cnn.augment.pipeline makes, and each step of cnn.augment by itself.
It is a function: `pipeline(image)` of a picture [H,W,C], `pipeline(images)` of several [N,H,W,C], each changed by
itself, uint8 or float32, which the result is too. `pipeline(images, labels, …)` returns all that it is given;
labels are changed only by steps that mix pictures (mixup, cutmix), which need them as rows, float32 {N, classes}.
Behind all a seed, an integer, or a generator of random numbers makes the result repeatable; so does
pipeline{images, labels, seed = 7}.

Amounts of steps are ranges, from which each picture draws its own: a number v means from -v to v, or of factors
from 1 - v to 1 + v; {low, high} is a range too.

A dataset maps it, `dataset:map(pipeline)`, in worker threads, and fit takes it as `augment`.
@field pipeline
@usage
augment = cnn.augment.rotate{30}
image = cnn.random.uniform{8, 8, 3}
cnn.allclose(augment(image, 7), augment(image, 7))  --> true
cnn.allclose(augment(image), augment(image))        --> false
changed, label = augment(image, "cat")
print(label)                         --> cat
dataset = cnn.data.Dataset.from_tensor_slices{image:expand_dims(1), {1}}:map(augment)
*/
static int new_pipeline(lua_State *L) {
    lua_settop(L, 1);
    if (lua_type(L, 1) != LUA_TTABLE)
        lcnn_fail(L, "pipeline: expected a list of steps, got %s", lcnn_describe(L, 1));
    int count = (int)lua_rawlen(L, 1);
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
        lua_Integer position = lua_isinteger(L, -2) ? lua_tointeger(L, -2) : 0;
        if (position < 1 || position > count)
            lcnn_fail(L, "pipeline: expected a list of steps, but it has something called %s",
                      luaL_tolstring(L, -2, NULL));
    }
    lua_newtable(L);
    for (int i = 1; i <= count; i++) {
        int type = lua_rawgeti(L, 1, i);
        if (type == LUA_TFUNCTION) {
            append(L, 2);
        } else if (luaL_testudata(L, -1, AUGMENTATION)) {
            lua_getiuservalue(L, -1, 1);
            int inner = lua_gettop(L);
            for (int j = 1; lua_rawgeti(L, inner, j) != LUA_TNIL; j++) append(L, 2);
            lua_settop(L, 2);
        } else if (type == LUA_TTABLE && luaL_getmetafield(L, -1, "__name") == LUA_TNIL) {
            lcnn_to_json(L, -1, "pipeline");
            lcnn_json_print(L);
            append(L, 2);
            lua_settop(L, 2);
        } else {
            lcnn_fail(L, "pipeline: step %d must be one of cnn.augment, a pipeline or a function, got %s", i,
                      lcnn_describe(L, 3));
        }
    }
    return make(L);
}

/* ---- calling ------------------------------------------------------------------------------------------- */

/* The stack of a call. Above these lie further arguments, which pass; RANDOM keeps the rng from being collected. */
enum { RANDOM = 1, SELF, IMAGES, LABELS };

/* The labels, if they are as steps that mix pictures take them: a row of float32 for each. Else NULL, which is an error
 * with those steps alone. */
static const cnn_tensor *labels_to_mix(const cnn_tensor *images, const cnn_tensor *labels) {
    bool fit =
        labels && labels->data && labels->dtype == CNN_FLOAT32 && labels->rank == 2 && images->rank == 4;
    return fit && labels->shape[0] == images->shape[0] ? labels : NULL;
}

/* Changes the images, and labels if need be, in their places on the stack. */
static void run_steps(lua_State *L, const cnn_augment *augment, bool labelled, cnn_random *random) {
    cnn_tensor **out = lcnn_new_list(L, 2);
    const cnn_tensor *images = lcnn_check_eager(L, IMAGES, "augment");
    const cnn_tensor *labels = labels_to_mix(images, labelled ? lcnn_test_tensor(L, LABELS) : NULL);
    cnn_status status = cnn_augment_apply(&out[0], &out[1], augment, images, labels, random);
    if (status == CNN_ERROR_ARGUMENT && labelled && !labels)
        lcnn_fail(L, "%s (labels: %s)", cnn_error_message(), lcnn_describe(L, LABELS));
    lcnn_check(L, status);
    for (int i = 0; i < 2 && out[i]; i++) {
        cnn_tensor *tensor = out[i];
        out[i] = NULL;
        lcnn_push_tensor(L, tensor);
        lua_replace(L, IMAGES + i);
    }
    lua_pop(L, 1);
}

/* Replaces the picture on the top by what the function at index makes of it. */
static void run_function_once(lua_State *L, int function, cnn_random *random) {
    int image = lua_gettop(L);
    cnn_random *own = lcnn_push_rng(L, cnn_random_split(random));
    lua_pushvalue(L, function);
    lua_pushvalue(L, image);
    lua_pushvalue(L, image + 1);
    cnn_random *before = cnn_use_random(own);
    int status = lua_pcall(L, 2, 1, 0);
    cnn_use_random(before);
    if (status != LUA_OK) lua_error(L);
    const cnn_tensor *result = lcnn_test_tensor(L, -1);
    if (!result || !result->data || result->rank != 3) {
        lua_Debug where;
        lua_pushvalue(L, function);
        lua_getinfo(L, ">S", &where);
        lcnn_fail(L, "pipeline: the function of %s:%d must return a picture [H,W,C], got %s", where.short_src,
                  where.linedefined, lcnn_describe(L, -1));
    }
    lua_replace(L, image);
    lua_settop(L, image);
}

static void push_picture(lua_State *L, int images, int64_t index) {
    cnn_tensor *row, *picture;
    lcnn_check(L, cnn_view(&row, lcnn_check_tensor(L, images), index, index + 1));
    cnn_status status = cnn_reshape(&picture, row, row->rank - 1, row->shape + 1);
    cnn_tensor_release(row);
    lcnn_check(L, status);
    lcnn_push_tensor(L, picture);
}

static void run_function(lua_State *L, int function, cnn_random *random) {
    const cnn_tensor *images = lcnn_check_eager(L, IMAGES, "augment");
    int rank = images->rank;
    int64_t count = rank == 4 ? images->shape[0] : 1;
    if (rank != 3 && rank != 4)
        lcnn_fail(L, "pipeline: expected pictures [H,W,C] or [N,H,W,C], got a tensor of rank %d", rank);
    if (rank == 3) {
        lua_pushvalue(L, IMAGES);
        run_function_once(L, function, random);
        lua_replace(L, IMAGES);
        return;
    }
    if (count == 0 || count > INT_MAX) return;
    cnn_tensor **results = lcnn_new_list(L, (int)count), *all;
    for (int i = 0; i < (int)count; i++) {
        push_picture(L, IMAGES, i);
        run_function_once(L, function, random);
        results[i] = cnn_tensor_retain(lcnn_check_tensor(L, -1));
        lua_pop(L, 1);
    }
    cnn_status status = cnn_stack(&all, (const cnn_tensor *const *)results, (int)count, 0);
    if (status != CNN_OK) lcnn_error(L, cnn_fail_in(status, "pipeline"));
    lcnn_push_tensor(L, all);
    lua_replace(L, IMAGES);
    lua_pop(L, 1);
}

/* Puts what the last argument says of random numbers, if it is an rng or a seed, below all others. */
static cnn_random *take_random(lua_State *L, cnn_random *own) {
    while (lua_gettop(L) > 1 && lua_isnil(L, -1)) lua_pop(L, 1);
    bool is_rng = lcnn_test_rng(L, -1) != NULL;
    if (!is_rng && lua_type(L, -1) != LUA_TNUMBER) {
        lua_pushnil(L);
    } else if (!is_rng) {
        if (!lua_isinteger(L, -1))
            lcnn_fail(L, "augment: a seed must be an integer, got %s", lcnn_describe(L, -1));
        *own = (cnn_random){.key = (uint64_t)lua_tointeger(L, -1)};
    }
    lua_insert(L, RANDOM);
    return is_rng ? lcnn_test_rng(L, RANDOM) : lua_isnil(L, RANDOM) ? NULL : own;
}

/* Pictures, and whatever goes with them. */
static int call(lua_State *L) {
    luaL_checkudata(L, 1, AUGMENTATION);
    if (lua_type(L, 2) == LUA_TTABLE)
        lcnn_args(L, 2, "augment", (const char *const[]){"images", "labels", "seed", NULL});
    cnn_random own, *random = take_random(L, &own);
    while (lua_gettop(L) > SELF && lua_isnil(L, -1)) lua_pop(L, 1);
    int last = lua_gettop(L);
    if (last < IMAGES || !lcnn_test_tensor(L, IMAGES))
        lcnn_fail(L, "augment: expected pictures, a tensor, got %s",
                  last < IMAGES ? "nothing" : lcnn_describe(L, IMAGES));
    augmentation *a = lua_touserdata(L, SELF);
    lua_getiuservalue(L, SELF, 1);
    int stages = last + 1;
    for (int i = 0; i < a->count; i++) {
        if (a->stages[i]) {
            run_steps(L, a->stages[i], last >= LABELS, random);
        } else {
            lua_rawgeti(L, stages, i + 1);
            run_function(L, stages + 1, random);
            lua_pop(L, 1);
        }
    }
    lua_settop(L, last);
    return last - SELF;
}

/* ---- what they are ------------------------------------------------------------------------------------- */

/*** The steps as a list: {class_name = …, config = …} of built-in ones, functions as they are.
cnn.augment.pipeline makes an equal pipeline of the list.
@function pipeline:get_config
@treturn {table|function,...}
@usage
steps = cnn.augment.pipeline{cnn.augment.flip{"vertical"}, cnn.augment.rotate{15}}:get_config()
steps[1].config.mode == "vertical", steps[2].config.degrees
--> true
--> 15
print(cnn.augment.pipeline(steps))   --> <augmentation: flip, rotate>
*/
static int get_config(lua_State *L) {
    luaL_checkudata(L, 1, AUGMENTATION);
    lua_settop(L, 1);
    lua_getiuservalue(L, 1, 1);
    lua_newtable(L);
    for (int i = 1; lua_rawgeti(L, 2, i) != LUA_TNIL; i++) {
        if (lua_isfunction(L, -1)) {
            lua_rawseti(L, 3, (lua_Integer)lua_rawlen(L, 3) + 1);
            continue;
        }
        cJSON *steps;
        lcnn_check(L, cnn_json_parse(&steps, "get_config", lua_pushfstring(L, "[%s]", lua_tostring(L, -1))));
        lcnn_own_json(L, steps);
        lcnn_push_json(L, steps);
        int list = lua_gettop(L);
        for (int j = 1; lua_rawgeti(L, list, j) != LUA_TNIL; j++)
            lua_rawseti(L, 3, (lua_Integer)lua_rawlen(L, 3) + 1);
        lua_settop(L, 3);
    }
    lua_settop(L, 3);
    return 1;
}

/* What makes an equal pipeline in another state. */
static int carry(lua_State *L) {
    get_config(L);
    lua_pushliteral(L, "augment.pipeline");
    lua_insert(L, -2);
    return 2;
}

static int describe(lua_State *L) {
    get_config(L);
    lua_insert(L, 1);
    lua_settop(L, 1);
    lua_pushliteral(L, "<augmentation:");
    for (int i = 1; lua_rawgeti(L, 1, i) != LUA_TNIL; i++) {
        if (lua_isfunction(L, -1))
            lua_pushliteral(L, "function");
        else
            lua_getfield(L, -1, "class_name");
        lua_pushfstring(L, "%s%s %s", lua_tostring(L, 2), i > 1 ? "," : "", lua_tostring(L, -1));
        lua_replace(L, 2);
        lua_settop(L, 2);
    }
    lua_settop(L, 2);
    lua_pushliteral(L, ">");
    lua_concat(L, 2);
    return 1;
}

static const luaL_Reg methods[] = {{"get_config", get_config}, {NULL, NULL}};

static const luaL_Reg metamethods[] = {{"__gc", free_augmentation},
                                       {"__call", call},
                                       {"__carry", carry},
                                       {"__tostring", describe},
                                       {NULL, NULL}};

/* ---- in datasets --------------------------------------------------------------------------------------- */

cnn_augment *lcnn_test_augment(lua_State *L, int index) {
    augmentation *a = luaL_testudata(L, index, AUGMENTATION);
    return a && a->count == 1 ? a->stages[0] : NULL;
}

static cnn_status map_element(void *worker, void *data, cnn_element *element, cnn_random *random) {
    (void)worker;
    cnn_tensor *out[2] = {NULL, NULL};
    const cnn_tensor *labels =
        element->count > 1 ? labels_to_mix(element->parts[0], element->parts[1]) : NULL;
    cnn_status status = cnn_augment_apply(&out[0], &out[1], data, element->parts[0], labels, random);
    if (status != CNN_OK) return status;
    for (int i = 0; i < 2 && out[i]; i++) {
        cnn_tensor_release(element->parts[i]);
        element->parts[i] = out[i];
    }
    return CNN_OK;
}

static void free_data(void *data) {
    cnn_augment_release(data);
}

const cnn_mapper lcnn_augment_mapper = {.apply = map_element, .free = free_data};

/* ---- for image_data_generator.lua ------------------------------------------------------------------------- */

/* system.with_seed(seed, f): what f() returns when random numbers come from a generator of this seed; nil: as ever. */
static int with_seed(lua_State *L) {
    cnn_random own = {.key = (uint64_t)luaL_optinteger(L, 1, 0)};
    luaL_checktype(L, 2, LUA_TFUNCTION);
    bool seeded = !lua_isnil(L, 1);
    lua_settop(L, 2);
    cnn_random *before = seeded ? cnn_use_random(&own) : NULL;
    int status = lua_pcall(L, 0, 1, 0);
    if (seeded) cnn_use_random(before);
    if (status != LUA_OK) lua_error(L);
    return 1;
}

#define FOLDER "cnn.folder"

static int free_folder(lua_State *L) {
    cnn_dataset **box = luaL_checkudata(L, 1, FOLDER);
    cnn_dataset_release(*box);
    *box = NULL;
    return 0;
}

/* system.list_pictures(directory, config): of image_dataset_from_directory, the names of the classes, the paths of the
 * pictures, class by class, and their labels, from 0. */
static int list_pictures(lua_State *L) {
    const char *directory = luaL_checkstring(L, 1);
    lua_settop(L, 2);
    lcnn_to_json(L, 2, "flow_from_directory");
    const char *config = lcnn_json_print(L);
    cnn_dataset **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = NULL;
    luaL_setmetatable(L, FOLDER);
    cnn_status status = cnn_dataset_from_directory(box, directory, config);
    if (status != CNN_OK) lcnn_error(L, cnn_fail_in(status, "flow_from_directory"));
    lua_newtable(L);
    for (int i = 0; i < cnn_dataset_class_count(*box); i++) {
        lua_pushstring(L, cnn_dataset_class_name(*box, i));
        lua_rawseti(L, -2, i + 1);
    }
    lua_newtable(L);
    lua_newtable(L);
    for (int64_t i = 0; i < cnn_dataset_file_count(*box); i++) {
        int label;
        lua_pushstring(L, cnn_dataset_file(*box, i, &label));
        lua_rawseti(L, -3, i + 1);
        lua_pushinteger(L, label);
        lua_rawseti(L, -2, i + 1);
    }
    return 3;
}

static const luaL_Reg system_functions[] = {
    {"with_seed", with_seed}, {"list_pictures", list_pictures}, {NULL, NULL}};

/* ---- opening ------------------------------------------------------------------------------------------- */

static const cnn_step_class *const *const families[] = {cnn_steps_geometry, cnn_steps_color, cnn_steps_region,
                                                        cnn_steps_elastic, cnn_steps_mix};

int lcnn_open_augment(lua_State *L) {
    luaL_newmetatable(L, FOLDER);
    lua_pushcfunction(L, free_folder);
    lua_setfield(L, -2, "__gc");
    luaL_newmetatable(L, AUGMENTATION);
    luaL_setfuncs(L, metamethods, 0);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_newtable(L);
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        for (const cnn_step_class *const *step = families[i]; *step; step++) {
            lua_pushlightuserdata(L, (void *)&(*step)->class);
            lua_pushcclosure(L, new_step, 1);
            lua_setfield(L, -2, (*step)->class.name);
        }
    lua_pushcfunction(L, new_pipeline);
    lua_setfield(L, -2, "pipeline");
    lua_setfield(L, 1, "augment");
    lua_getfield(L, 1, "image");
    lua_getfield(L, -1, "system");
    luaL_setfuncs(L, system_functions, 0);
    return 0;
}
