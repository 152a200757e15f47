/* Values of Lua on their way to worker threads.
 *
 * Each worker has a Lua state of its own. What is to be there is packed into a parcel in the program's state, which
 * belongs to no state and no longer changes, and unpacked in each worker's: as it was when it was packed.
 * Carried are nil, booleans, numbers, strings, tables (with their metatables; what was one table, function or tensor
 * stays one), tensors (the same memory), Lua functions with their upvalues (which stay shared by closures that shared
 * them), the program's globals that such functions name, and by name what belongs to Lua's libraries and to the module. An object whose metatable has a function __carry,
 * which returns "dotted.name" and an argument, is made anew as cnn.dotted.name(argument). Anything else is an error that
 * says where it was met. */
#ifndef LUA_CARRY_H
#define LUA_CARRY_H

#include "lua_cnn.h"

/* ---- parcels ------------------------------------------------------------------------------------------- */

typedef struct lcnn_parcel lcnn_parcel;

/* Packs the value at index and pushes a userdata that owns the parcel. Errors are in the name of who. */
lcnn_parcel *lcnn_parcel_pack(lua_State *L, int index, const char *who);
/* From any thread. */
lcnn_parcel *lcnn_parcel_retain(lcnn_parcel *parcel);
void lcnn_parcel_release(lcnn_parcel *parcel);
/* Pushes the value, made anew in this state; sets the globals that go with it. */
void lcnn_parcel_unpack(lua_State *L, const lcnn_parcel *parcel);
/* Why a global that functions in the parcel may mean could not be packed, pushed; false if there is no such. */
bool lcnn_parcel_push_refusal(lua_State *L, const lcnn_parcel *parcel, const char *global);

/* ---- random numbers ------------------------------------------------------------------------------------ */

/* Pushes a generator of its own, an object with the methods uniform, normal, integer and bernoulli. What is returned lives
 * as long as that. */
cnn_random *lcnn_push_rng(lua_State *L, cnn_random random);
/* What the one at index draws from; NULL if there is something else. One that is not lent any more raises. */
cnn_random *lcnn_test_rng(lua_State *L, int index);
/* Pushes one that draws from what is put into the returned place, while that is not NULL. */
cnn_random **lcnn_push_lent_rng(lua_State *L);

/* ---- in datasets --------------------------------------------------------------------------------------- */

/* The dataset of what the function in the parcel makes of another's elements, in the workers. */
cnn_status lcnn_dataset_map(cnn_dataset **out, cnn_dataset *dataset, lcnn_parcel *parcel);

#endif
