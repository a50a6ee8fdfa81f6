/** First and last touch: by which campaign a visitor came, told with the first event of each session. */
import { endSession, hooks, isFirst } from "./client";
import { options } from "./options";
import { seen } from "./seen";
import { recall, remember } from "./store";
import { TOUCH } from "./urls";

export const campaigns = (): void => {
  const touch = (location.search + location.hash).match(RegExp(`\\b${TOUCH}=[^&;#?]+`, "gi"))?.join("&");
  let isNew = touch && touch != recall("t").split("\n")[1];
  if (isNew && options.newSessionOnCampaign) seen(endSession);
  hooks.push(() => {
    let [first_touch, last_touch] = recall("t").split("\n");
    if (isNew) {
      // Not before the first event: that is not before consent.
      isNew = "";
      last_touch = touch;
      first_touch ||= touch;
      remember("t", first_touch + "\n" + touch);
    }
    return isFirst() && first_touch ? { first_touch, last_touch } : undefined;
  });
};
